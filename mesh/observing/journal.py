"""One bounded record of what happened: calls, output of the services, changes of state."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct, field

from mesh.observing.span import Span


class Line(Struct):
    """A line that a service wrote (stream `stdout` or `stderr`), or that mesh reports about it (`mesh`)."""

    service: str
    text: str
    stream: str = "stdout"
    at: float = field(default_factory=time.time)
    trace_id: str | None = None
    span_id: str | None = None
    level: str | None = None


class Change(Struct):
    """A new state of a service, or of the whole mesh (named `mesh`), with the reason if there is one."""

    service: str
    state: str
    reason: str | None = None
    at: float = field(default_factory=time.time)


class Hold(Struct):
    """A time in which the code of a service held its event loop, or the GIL of the whole process.

    function, file, line: where it was.
    """

    service: str
    what: Literal["loop", "gil"]
    function: str
    file: str
    line: int
    milliseconds: float
    at: float = field(default_factory=time.time)


Entry = Span | Line | Change | Hold
Subscriber = Callable[[Entry], object]


#: Bytes of memory for recorded entries, and as many again for those that wait for a slow terminal.
MAX_BYTES = 32 * 1024 * 1024
#: Approximate bytes of an entry apart from its longest text.
_ENTRY_BYTES = 700


def size_of(entry: Entry) -> int:
    """Return the approximate bytes of an entry; a character takes one, two or four of them."""
    match entry:
        case Span():
            return _ENTRY_BYTES + len(entry.target) + len(entry.request) + len(entry.response)
        case Line():
            text = entry.text
        case Change():
            text = entry.reason or ""
        case Hold():
            text = entry.file
    return _ENTRY_BYTES + sys.getsizeof(text)


class Journal:
    """A ring of the newest entries, bounded in number and in bytes. Appending is safe from any thread."""

    def __init__(self, capacity: int = 10_000, max_bytes: int = MAX_BYTES, is_recording: bool = True) -> None:
        #: False if calls and their payloads are not recorded.
        self.is_recording = is_recording
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        # Reentrant: a finalizer that runs during an append may print.
        self._lock = threading.RLock()
        self._subscribers: tuple[Subscriber, ...] = ()
        #: Called with the last line before the process ends; each returns when it has written it, or cannot.
        self.last_subscribers: tuple[Callable[[Line], object], ...] = ()
        #: Ids of the calls being answered, with the thread that answers each.
        self.in_flight: dict[str, InFlight] = {}
        #: Ids of the calls that services here are making, with the name of the service.
        self.calling: dict[str, str] = {}

    def append(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)
            self._bytes += size_of(entry)
            while self._bytes > self._max_bytes or len(self._entries) > self._capacity:
                self._bytes -= size_of(self._entries.popleft())
        for subscriber in self._subscribers:
            subscriber(entry)

    def is_open(self, span_id: str) -> bool:
        """Return whether the call is being answered, and its caller still waits."""
        call = self.in_flight.get(span_id)
        return call is not None and not call.is_answered

    def append_last(self, line: Line) -> None:
        """Append a line after which the process ends at once; return when it has been written."""
        self.append(line)
        for subscriber in self.last_subscribers:
            subscriber(line)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Pass every further entry to `subscriber`, in the appending thread; return the function that ends this."""
        self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)

        return unsubscribe

    def reset_after_fork(self) -> None:
        """Drop the subscribers, whose threads a forked child lacks, and a lock that one of them may hold."""
        self._lock = threading.RLock()
        self._subscribers = self.last_subscribers = ()

    def entries(self) -> list[Entry]:
        """Return the newest entries, oldest first."""
        with self._lock:
            return list(self._entries)


class Waiting(Struct):
    """Work of a call that waits for a thread of a pool of `size`; looks: how often it was found waiting."""

    threads: int
    since: float = field(default_factory=time.monotonic)
    looks: int = 0


class InFlight(Struct, eq=False):
    """A call being answered: by which ServiceContext, its name, and the thread (an ident; the loop's if async).

    task: the asyncio.Task that answers it; None in a thread without a loop.
    started: on the clock of `time.perf_counter()`. is_answered: the caller has its answer, and the call is recorded;
    what still runs, such as a background task, came after it.
    cause: what its handler failed of, see Span.
    workers: idents of the pools' threads that currently work for it, the latest last.
    waiting: the work it last handed to a pool, until a thread takes it.
    """

    service: Any
    name: str
    thread: int
    task: Any = None
    started: float = field(default_factory=time.perf_counter)
    is_answered: bool = False
    cause: str = ""
    workers: list[int] = field(default_factory=list)
    waiting: Waiting | None = None
