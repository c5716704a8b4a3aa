"""The messages of a request, from a message, a dict of fields, keyword arguments, or an iterator;
and the metadata of the current call that is forwarded with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Iterator, Mapping
from textwrap import shorten
from typing import Any

from google.protobuf.message import Message

from mesh.calling.peer.options import CALL_OPTIONS, CallOptions
from mesh.context import Call
from mesh.contract import Method
from mesh.contract.rest.metadata import PREFIX, request_metadata
from mesh.errors import StatusError, UsageError
from mesh.suggestions import no_such

_END = object()


def split(method: Method, request: object, given: dict[str, Any]) -> tuple[Any, CallOptions]:
    """Return the request, and the options among the keyword arguments.

    Raises UsageError for a request *and* fields, and for a keyword that could be an option or a field.
    """
    options = {name: given[name] for name in CALL_OPTIONS if name in given}
    fields = {name: value for name, value in given.items() if name not in options}
    if request is None and method.client_streaming:
        raise UsageError(f"{method} takes a stream: an iterator of {_type(method)}, or of dicts of its fields")
    if request is None:
        for name in options:
            if name in method.request_class.DESCRIPTOR.fields_by_name:
                raise UsageError(
                    f"{method}: {name} is an option of the call and a field of {_type(method)}; give the fields as a "
                    f"message or a dict, {method.name}({{{name!r}: ...}}), and the option beside it"
                )
        request = fields
    elif fields:
        raise UsageError(f"{method} takes a message or fields, not both: {', '.join(fields)}")
    return request, CallOptions(**options)


def message_of(method: Method, given: object) -> Message:
    """Return the request as a message of the contract's class.

    A caller's generated class may be from another pool, or from another protobuf than mesh's.
    """
    if isinstance(given, Mapping):
        return _from_fields(method, given)
    descriptor = getattr(given, "DESCRIPTOR", None)
    if getattr(descriptor, "full_name", "") != _type(method) or not hasattr(given, "SerializeToString"):
        raise UsageError(f"{method} takes {_type(method)} or a dict of its fields, not {type(given).__name__}")
    if isinstance(given, method.request_class):
        return given
    return method.request_class.FromString(given.SerializeToString())


async def messages_of(method: Method, given: object, loop: asyncio.AbstractEventLoop | None) -> AsyncIterator[Message]:
    """Yield the messages of a stream, each requested once the previous one has been taken.

    loop: the caller's, which runs an asynchronous iterator; None if the call was made by plain code.
        An iterator that may block runs in a thread, unless this is that loop.
    """
    is_here = loop is asyncio.get_running_loop()
    if isinstance(given, AsyncIterable):
        iterator = aiter(given)
        while (each := await (_next(iterator) if is_here else _elsewhere(iterator, loop, method))) is not _END:
            yield message_of(method, each)
    elif isinstance(given, Iterable) and not isinstance(given, (Message, Mapping, str, bytes)):
        plain = iter(given)
        while (each := next(plain, _END) if is_here else await asyncio.to_thread(next, plain, _END)) is not _END:
            yield message_of(method, each)
    else:
        raise UsageError(f"{method} takes a stream: an iterator of {_type(method)}, not {type(given).__name__}")


async def _elsewhere(iterator: AsyncIterator[Any], loop: asyncio.AbstractEventLoop | None, method: Method) -> Any:
    if loop is None:
        raise UsageError(f"{method}: plain code must give a plain iterator, not an asynchronous one")
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_next(iterator), loop))


async def _next(iterator: AsyncIterator[Any]) -> Any:
    return await anext(iterator, _END)


def _from_fields(method: Method, fields: Mapping[str, Any]) -> Message:
    known = method.request_class.DESCRIPTOR.fields_by_name
    for name in fields:
        if name not in known:
            raise UsageError(f"{method}: {no_such('field', str(name), known)}")
    try:
        return method.request_class(**fields)
    except (TypeError, ValueError):
        for name, value in fields.items():
            try:
                method.request_class(**{name: value})
            except (TypeError, ValueError) as error:
                raise UsageError(f"{method}: {name} = {shorten(repr(value), 60)}: {error}") from None
        raise


def _type(method: Method) -> str:
    return str(method.descriptor.input_type.full_name)


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
