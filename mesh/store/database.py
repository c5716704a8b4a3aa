"""A service's embedded SQLite database."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mesh import Code, MeshError, StatusError, current_service
from mesh.store.once import ONCE_SCHEMA, Once

#: Seconds a statement waits for another program that holds the database.
BUSY = 2.0

_ADVICE = "move it away, or give another --data"


class Inserted(NamedTuple):
    """The row that a request stands for; is_new is False where an earlier one with its key had made it."""

    id: int
    is_new: bool


class Database:
    """One connection behind one lock: writers of a service queue up here and never meet each other in SQLite.

    schema: statements that create the tables, followed by those that fill them for the first time; run as one
        transaction on a database that has none. Content put back by reset() is what they make.
    """

    def __init__(self, path: Path | None, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._lock = threading.Lock()
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            raise MeshError(f"the database {self._where} cannot be opened: {error}; {_ADVICE}") from error
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
            raise MeshError(f"the database {self._where} cannot be made: {reason}; give another --data") from error

    @classmethod
    def of_current_service(cls, schema: str) -> Database:
        """`<service>.db` in the data folder of the service that runs this; closed and reset with it."""
        service = current_service()
        database = cls(service.data / f"{service.name}.db" if service.data else None, schema)
        service.on_stop(database.close)
        service.on_reset(database.reset)
        return database

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._held() as connection:
            return connection.execute(statement, values).fetchall()

    def insert(self, statement: str, values: Sequence[Any] | Mapping[str, Any], once: Once | None = None) -> Inserted:
        """Runs one INSERT as a transaction of its own.

        once: the key and the content of the request. A second request with the key inserts nothing and gets the id of
            the first; StatusError ALREADY_EXISTS where its content is another.
        """
        with self._held() as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                if once is not None and (known := once.known(connection)) is not None:
                    return Inserted(known, is_new=False)
                new = connection.execute(statement, values).lastrowid or 0
                if once is not None:
                    once.note(connection, new)
                return Inserted(new, is_new=True)

    def inserted(self, once: Once) -> int | None:
        """The id of the row that an earlier request with this key made."""
        with self._held() as connection:
            return once.known(connection)

    def reset(self) -> None:
        """Empties every table and fills them as at the first start."""
        with self._held() as connection:
            tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            drops = [f'DROP TABLE "{row["name"]}";' for row in connection.execute(tables)]
            connection.executescript("".join(["BEGIN;", *drops, ONCE_SCHEMA, self._schema, "COMMIT;"]))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _held(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone.

        What another program or a full disk does to it is UNAVAILABLE, a damaged file is DATA_LOSS.
        """
        # Behind one statement that waits for another program, the others do not queue up for longer than it.
        if not self._lock.acquire(timeout=BUSY):
            raise StatusError(Code.UNAVAILABLE, f"the database has been busy for {BUSY:g} s")
        try:
            yield self._connection
        except sqlite3.OperationalError as error:
            raise StatusError(Code.UNAVAILABLE, f"the database cannot answer: {error}") from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise  # a statement of ours that does not fit
            raise StatusError(Code.DATA_LOSS, f"the database {self._where} is damaged: {error}; {_ADVICE}") from error
        finally:
            self._lock.release()

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            _make_private(self._path)
        connection = sqlite3.connect(
            self._path or ":memory:", timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Makes the tables where there are none; sqlite3.DatabaseError for a file that is none of ours, or damaged."""
        connection.row_factory = sqlite3.Row
        if self._path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
            if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found.splitlines()[-1])
        connection.execute("PRAGMA synchronous = NORMAL")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'").fetchone():
            connection.executescript(f"BEGIN IMMEDIATE;{ONCE_SCHEMA}{self._schema}COMMIT;")

    @property
    def _where(self) -> str:
        return str(self._path) if self._path is not None else "in memory"


def _make_private(path: Path) -> None:
    """Makes the file and the folders it lacks for this user alone; SQLite gives its other files the mode of this."""
    for folder in reversed(path.parents):
        folder.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
