"""The servicer's contexts of a call without a network: replacements for grpc's, sync and asyncio."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
import grpc.aio

from mesh.contract.status import HandlerFailure, details_of_metadata
from mesh.errors import Code, StatusError

PEER = "inproc"

#: Marks the end of the requests in `read()`.
EOF = grpc.aio.EOF


class CallState:
    """State that both contexts share and that the backend reads once the servicer is done.

    deadline: on the clock of `time.monotonic()`, in seconds; None for none.
    """

    def __init__(self, metadata: Iterable[tuple[str, str | bytes]], deadline: float | None) -> None:
        self._metadata = tuple(metadata)
        self._deadline = deadline
        self._code: Code | None = None
        self._details = ""
        self._aborted: StatusError | None = None
        self._active = True
        self._callbacks: list[Callable[[], None]] = []
        self.initial: tuple[tuple[str, str | bytes], ...] = ()
        self.trailing: tuple[tuple[str, str | bytes], ...] = ()

    # Read by the servicer.

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._metadata

    def peer(self) -> str:
        return PEER

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}

    def is_active(self) -> bool:
        return self._active

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def code(self) -> grpc.StatusCode | None:
        return None if self._code is None else _grpc_code(self._code)

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self.trailing

    # Written by the servicer.

    def set_code(self, code: Any) -> None:
        self._code = code_given(code)

    def set_details(self, details: str) -> None:
        self._details = details

    def set_trailing_metadata(self, trailing_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self.trailing = tuple((key, value) for key, value in trailing_metadata)

    def set_compression(self, compression: Any) -> None:
        """Do nothing: there is no connection to compress for."""

    def disable_next_message_compression(self) -> None:
        """Do nothing: there is no connection to compress for."""

    def _abort(self, code: Any, details: str) -> NoReturn:
        self._code = code_given(code)
        if self._code is Code.OK:
            self._code, details = Code.UNKNOWN, details or "aborted with OK"
        self._details = details
        self._aborted = StatusError(self._code, details, details_of_metadata(self.trailing))
        raise self._aborted

    def _abort_with_status(self, status: Any) -> NoReturn:
        self.set_trailing_metadata(status.trailing_metadata or ())
        self._abort(status.code, status.details)

    # Used by the backend.

    def error(self) -> StatusError | None:
        """Return the error with which the servicer ended the call, or None."""
        if self._aborted is not None:
            return self._aborted
        if self._code in (None, Code.OK):
            return None
        assert self._code is not None
        return StatusError(self._code, self._details, details_of_metadata(self.trailing))

    def failure(self, raised: BaseException) -> BaseException:
        """Return the error of a call whose servicer raised an exception."""
        return self._aborted or failure_of(raised, self._code, self._details, self.trailing)

    def close(self) -> None:
        """End the call, however it ended: run the callbacks, once."""
        self._active = False
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def _add(self, callback: Callable[[], None]) -> bool:
        if self._active:
            self._callbacks.append(callback)
        return self._active


class SyncContext(CallState, grpc.ServicerContext):  # type: ignore[misc]  # its stubs say less than grpc allows
    """The context of a servicer of plain functions."""

    def send_initial_metadata(self, initial_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self.initial = tuple((key, value) for key, value in initial_metadata)

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Register a callback; return False if the call is already over, as grpc does."""
        return self._add(callback)

    def cancel(self) -> bool:
        self._aborted = StatusError(Code.CANCELLED, "cancelled by the servicer")
        self.close()
        return True

    def abort(self, code: Any, details: str) -> NoReturn:
        self._abort(code, details)

    def abort_with_status(self, status: Any) -> NoReturn:
        self._abort_with_status(status)


class AioContext(CallState, grpc.aio.ServicerContext[Any, Any]):  # type: ignore[misc]  # likewise
    """The context of a servicer of coroutines. read, write: set by the backend if the method streams."""

    reader: Callable[[], Awaitable[Any]]
    writer: Callable[[Any], Awaitable[None]]

    async def send_initial_metadata(self, initial_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self.initial = tuple((key, value) for key, value in initial_metadata)

    async def read(self) -> Any:
        """Return the next request, EOF after the last."""
        return await self.reader()

    async def write(self, message: Any) -> None:
        await self.writer(message)

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        self._abort(code, details)

    async def abort_with_status(self, status: Any) -> NoReturn:
        self._abort_with_status(status)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._add(lambda: callback(self))

    def cancelled(self) -> bool:
        return not self._active and self._aborted is None

    def done(self) -> bool:
        return not self._active


def failure_of(
    raised: BaseException, code: Any, details: str, trailing: Iterable[tuple[str, str | bytes]]
) -> BaseException:
    """Return the error of a call whose handler raised: a code set in its context precedes INTERNAL.

    code, details, trailing: as the handler left them in its context.
    """
    given = code_given(code)
    if given is Code.OK or isinstance(raised, StatusError):
        return raised
    # Generated stubs answer like this for a method that is not implemented: not a failure.
    is_unwritten = given is Code.UNIMPLEMENTED and isinstance(raised, NotImplementedError)
    failure = (StatusError if is_unwritten else HandlerFailure)(given, details, details_of_metadata(trailing))
    failure.__cause__ = raised
    return failure


def code_given(code: Any) -> Code:
    """Return the code that `set_code()` or `abort()` was given: grpc's, ours or a number.

    None counts as OK, anything else as UNKNOWN, as in grpc.
    """
    if code is None:
        return Code.OK
    try:
        return Code(code.value[0] if isinstance(code, grpc.StatusCode) else code)
    except ValueError:
        return Code.UNKNOWN


def _grpc_code(code: Code) -> grpc.StatusCode:
    return next(each for each in grpc.StatusCode if each.value[0] == code)
