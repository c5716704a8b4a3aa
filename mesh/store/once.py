"""Idempotency keys: a request sent twice with the same key is carried out once."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping

from google.protobuf.message import Message
from msgspec import Struct

from mesh import Code, StatusError, current_call

ONCE_SCHEMA = """
CREATE TABLE idempotency (key TEXT PRIMARY KEY, content TEXT NOT NULL, row INTEGER NOT NULL);
"""


class Once(Struct, frozen=True):
    """The key and a digest of the content of a request; used within a transaction of the service's database."""

    key: str
    content: str

    def known(self, connection: sqlite3.Connection) -> int | None:
        """Return the row of the first request; raises ALREADY_EXISTS if that was a different request."""
        row = connection.execute("SELECT content, row FROM idempotency WHERE key = ?", (self.key,)).fetchone()
        if row is None:
            return None
        if row["content"] != self.content:
            raise StatusError(
                Code.ALREADY_EXISTS, f"idempotency-key {self.key!r:.60} was already used for another request"
            )
        return int(row["row"])

    def note(self, connection: sqlite3.Connection, row: int) -> None:
        values = (self.key, self.content, row)
        connection.execute("INSERT INTO idempotency (key, content, row) VALUES (?, ?, ?)", values)


def idempotency(request: Message | Mapping[str, int]) -> Once | None:
    """Return the call's idempotency key with the request's content, the same over HTTP and gRPC, or None."""
    call = current_call.get()
    if call is None or call.idempotency_key is None:
        return None
    content = request.SerializeToString(deterministic=True) if isinstance(request, Message) else _text(request)
    return Once(call.idempotency_key, hashlib.sha256(content).hexdigest())


def _text(request: Mapping[str, int]) -> bytes:
    return json.dumps(request, sort_keys=True).encode()
