"""Metadata of the current call that is forwarded with the calls made for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from mesh.context import Call
from mesh.contract.rest.metadata import PREFIX, request_metadata
from mesh.errors import StatusError


def forwarded(call: Call | None, names: Collection[str]) -> Iterator[tuple[str, str | bytes]]:
    """Yield the headers or metadata with these names, `grpc-metadata-NAME` counting as NAME."""
    wanted = {name.lower() for name in names}
    for name, value in call.received if call and wanted else ():
        if isinstance(name, str):
            if name in wanted:
                yield name, value
        elif (plain := name.decode("latin-1").removeprefix(PREFIX)) in wanted:
            try:
                yield from request_metadata([((PREFIX + plain).encode(), value)])
            except StatusError:
                continue  # What metadata cannot carry was meant for this service alone.
