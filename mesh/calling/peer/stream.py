"""The messages of a streamed answer, as an iterator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import Message

from mesh.contract.backends.backend import Frame, Headers, Metadata, Trailers

Run = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]
Wait = Callable[[Coroutine[Any, Any, Any]], Any]
Open = Callable[[], tuple[AsyncGenerator[Frame, None], Run]]


class Stream:
    """`async for user in users.WatchUsers():`; the call is made when the first message is requested.

    Leaving the loop ends the call when the stream is collected; `async with users.WatchUsers() as stream:` and
    `aclose()` end it at once. trailing_metadata: empty until the stream has ended.
    """

    def __init__(self, opened: Open) -> None:
        self._open = opened
        self._opened: tuple[AsyncGenerator[Frame, None], Run] | None = None
        self._initial: Metadata | None = None
        self._ahead: list[Message] = []
        self.trailing_metadata: Metadata = ()

    async def initial_metadata(self) -> Metadata:
        """Return the initial metadata, waiting until the server has opened the stream."""
        while self._initial is None and not self._ahead and (frame := await self._next_frame()) is not None:
            if isinstance(frame, Message):
                self._ahead.append(frame)
        return self._initial or ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if self._ahead:
            return self._ahead.pop()
        while (frame := await self._next_frame()) is not None:
            if isinstance(frame, Message):
                return frame
        raise StopAsyncIteration

    async def _next_frame(self) -> Frame | None:
        # Late: the stream may be iterated in another loop than the one in which it was made.
        frames, run = self._opened = self._opened or self._open()

        async def next_frame() -> Frame | None:
            return await anext(frames, None)

        frame: Frame | None = await run(next_frame())
        if isinstance(frame, Headers):
            self._initial = frame.metadata
        elif isinstance(frame, Trailers):
            self.trailing_metadata = frame.metadata
        return frame

    async def aclose(self) -> None:
        """End the call."""
        if self._opened is None:
            return
        frames, run = self._opened

        async def close() -> None:
            await frames.aclose()

        await run(close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class SyncStream:
    """The same for plain code: `for user in users.sync.WatchUsers():`."""

    def __init__(self, frames: AsyncGenerator[Frame, None], wait_for: Wait) -> None:
        async def here(work: Coroutine[Any, Any, Any]) -> Any:
            return await work

        self._stream = Stream(lambda: (frames, here))
        self._wait_for = wait_for

    @property
    def trailing_metadata(self) -> Metadata:
        return self._stream.trailing_metadata

    def initial_metadata(self) -> Metadata:
        found: Metadata = self._wait_for(self._stream.initial_metadata())
        return found

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        async def next_message() -> Message | None:
            return await anext(self._stream, None)

        message: Message | None = self._wait_for(next_message())
        if message is None:
            raise StopIteration
        return message

    def close(self) -> None:
        """End the call."""
        self._wait_for(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
