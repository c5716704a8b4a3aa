"""Payloads as text: decoded when they are looked at, with secrets masked by the names of their fields."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mesh.observing.secrets import Secrets
from mesh.observing.span import Span
from mesh.topology.model import Topology

_LONGEST = 2000


class Payloads:
    """Decodes with the contracts that the project declares; what no contract tells is shown as its size."""

    def shown(self, span: Span) -> list[str]:
        """Return a line for the request and one for the response of a call, without those that are empty."""
        query = span.target.partition("?")[2]
        asked = [f"> ?{self.secrets.masked_query(query)}"] if query else []
        return asked + [
            f"{mark} {self._text(span, data, size, kind, message)[:_LONGEST]}"
            for mark, data, size, kind, message in _sides(span)
            if size
        ]

    def values(self, span: Span) -> Iterator[Any]:
        """Yield request and response as JSON values, secrets masked, where they are JSON or known messages."""
        for _, data, size, kind, message in _sides(span):
            if size and (span.protocol == "grpc" or "json" in kind):
                with contextlib.suppress(ValueError):  # Cut, a stream, or unknown: shown as its size.
                    yield json.loads(self._text(span, data, size, kind, message))

    def _text(self, span: Span, data: bytes, size: int, kind: str, message: str) -> str:
        whole = len(data) == size
        try:
            if span.protocol == "grpc" and whole:
                return self._message(span.method, message, data)
            if "json" in kind and whole:
                return json.dumps(self.secrets.masked(json.loads(data)), ensure_ascii=False)
            if kind.startswith("application/x-www-form-urlencoded") and whole:
                return self.secrets.masked_query(data.decode())
            if kind.startswith("text/"):
                return data.decode() + ("" if whole else f"... ({size} bytes)")
        except Exception:  # Whatever a decoder makes of bytes of any kind.
            pass
        return f"{size} bytes{f' of {kind}' if kind else ''}"

    def _message(self, path: str, message: str, data: bytes) -> str:
        from google.protobuf import json_format

        from mesh.calling.contract_lookup import method_at

        method = method_at(path, self._descriptors)
        if method.streaming:
            return f"{len(data)} bytes of a stream of {getattr(method, message).DESCRIPTOR.full_name}"
        found = getattr(method, message).FromString(data)
        fields = json_format.MessageToDict(found, preserving_proto_field_name=True)
        return json.dumps(self.secrets.masked(fields), ensure_ascii=False)

    @cached_property
    def secrets(self) -> Secrets:
        """Return what is masked, by the names that the project declares as well."""
        return Secrets(self._declared.secrets)

    @cached_property
    def _declared(self) -> Topology:
        from mesh.commands.project import project_folder
        from mesh.store.topology import store
        from mesh.topology.loading import load_known

        return load_known(project_folder(), store)

    @cached_property
    def _descriptors(self) -> tuple[Path, ...]:
        from mesh.runtime.contracts import Contracts
        from mesh.store.topology import store
        from mesh.topology.selection import select

        declared = self._declared
        contracts = Contracts(declared.folder / ".mesh" / "protos")
        contracts.compile(select(declared))
        files = [file for each in contracts.descriptors().values() for file in each]
        # What ran may have been named by a target: the contracts of the store are known to it as well.
        return tuple(dict.fromkeys([*files, *declared.descriptors, *store().descriptors]))


def _sides(span: Span) -> Sequence[tuple[str, bytes, int, str, str]]:
    """Return mark, bytes, full size, content type and attribute of the method for the request and the response."""
    return (
        (">", span.request, span.request_size, span.request_type, "request_class"),
        ("<", span.response, span.response_size, span.response_type, "response_class"),
    )
