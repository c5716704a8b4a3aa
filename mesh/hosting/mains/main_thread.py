"""The thread in which a service's program runs, and its interruption: what a signal is to a process."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import signal
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

from mesh.service import ServiceContext

#: Seconds between two checks for an interruption while the program waits for something.
SLICE = 0.1
#: Seconds after which a program that has not waited for anything is interrupted in its own code.
AT_WAIT_WITHIN = 0.5

StopHandler = Callable[[int, None], object]


class MainThread:
    """Runs `work` in a thread of the current service, until it ends or is interrupted.

    The interruption is delivered where the program waits (`time.sleep`, a lock, an event loop, a server of mesh's), in
    its own thread: a server that waits there ends its waiting; else the program's handler for SIGTERM or SIGINT is
    called, and without one KeyboardInterrupt is raised.

    take_handler: returns that handler once. on_wait, on_end: called in the thread, at the first wait and at the end.
    """

    def __init__(
        self,
        service: ServiceContext,
        work: Callable[[], None],
        take_handler: Callable[[], StopHandler | None],
        on_wait: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self.error: BaseException | None = None
        self.was_interrupted = False
        #: Loops that may run in this thread.
        self.loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        #: Threads of the program; it ends after those that are no daemons, as a process does.
        self.threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        #: End the waiting of the servers that wait in this thread, the innermost last.
        self.waiting_servers: list[Callable[[], None]] = []
        self._work = work
        self._take_handler = take_handler
        self._on_wait: Callable[[], None] | None = on_wait
        self._on_end = on_end
        self._lock = threading.Lock()
        self._is_pending = False
        #: By a handler that was called in another thread.
        self._raised: BaseException | None = None
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        self._thread = threading.Thread(target=self._run, name=f"{service.name} main", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def ident(self) -> int | None:
        return self._thread.ident

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def interrupt(self) -> None:
        """Interrupt the program once, from another thread."""
        if self.was_interrupted:
            return
        self.was_interrupted = self._is_pending = True
        self._wake.release()
        for loop in list(self.loops):
            with contextlib.suppress(RuntimeError):  # closed
                loop.call_soon_threadsafe(self.check)
        threading.Thread(target=self._interrupt_code, name="interrupt", daemon=True).start()

    def close_loops(self) -> None:
        """Close the event loops that the program left open, as the end of a process does."""
        for loop in list(self.loops):
            if not loop.is_running():
                loop.close()

    def check(self, holds_lock: bool = False) -> None:
        """Deliver an interruption that is pending; called in the program's thread wherever it waits.

        holds_lock: True if the thread holds a lock that a handler may need: in a process it would not, while it waits.
        The handler is then called in a thread of its own, and what it raises is raised here later.
        """
        if self._on_wait is not None:
            on_wait, self._on_wait = self._on_wait, None
            on_wait()
        if threading.get_ident() != self.ident:
            return
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        if not self._take_pending():
            return
        if holds_lock:
            threading.Thread(target=self._deliver_apart, name="signal handler", daemon=True).start()
        else:
            self._deliver()

    def call_handler(self, default: Callable[[], object] | None = None) -> None:
        """Do what the interpreter does at the signal; default: instead of raising KeyboardInterrupt."""
        handler = self._take_handler()
        if handler is not None:
            handler(signal.SIGTERM, None)
        elif default is None:
            raise KeyboardInterrupt
        else:
            default()

    def _deliver(self) -> None:
        if self.waiting_servers:
            self.waiting_servers[-1]()
        else:
            self.call_handler()

    def _deliver_apart(self) -> None:
        try:
            self._deliver()
        except BaseException as error:
            self._raised = error

    def sleep(self, seconds: float) -> None:
        """Sleep, interruptibly; as in a process, the sleep goes on after a handler that returns."""
        until = time.monotonic() + seconds
        self.check()
        # `interrupt` frees the lock, once.
        if seconds > 0 and self._wake.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            self.check()
            if (left := until - time.monotonic()) > 0:
                self._wake.acquire(timeout=min(left, threading.TIMEOUT_MAX))

    def wait_until(
        self, is_done: Callable[[float], bool], seconds: float | None = None, holds_lock: bool = False
    ) -> bool:
        """Wait in slices, interruptibly: `is_done(slice)` waits at most that long; return False after `seconds`."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            self.check(holds_lock)
            step = SLICE if until is None else max(0.0, min(SLICE, until - time.monotonic()))
            if is_done(step):
                return True
            if until is not None and time.monotonic() >= until:
                return False

    def _take_pending(self) -> bool:
        with self._lock:
            was_pending, self._is_pending = self._is_pending, False
        return was_pending

    def _interrupt_code(self) -> None:
        """Interrupt a program that runs its own code: it does not come to a wait."""
        self._thread.join(AT_WAIT_WITHIN)
        if not self.is_alive() or not self._take_pending():
            return
        self.call_handler(default=self._raise_in_code)

    def _raise_in_code(self) -> None:
        """Raise KeyboardInterrupt in the program's thread, wherever its code is."""
        import ctypes

        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(KeyboardInterrupt))

    def _run(self) -> None:
        try:
            self._work()
            for thread in list(self.threads):
                if not thread.daemon and thread is not self._thread:
                    self.wait_until(partial(has_ended, thread))
        except BaseException as error:
            self.error = error
        finally:
            self._on_end()


def has_ended(thread: threading.Thread, seconds: float) -> bool:
    """Wait for the thread's end at most so long; return whether it has ended."""
    _join(thread, seconds)
    return not thread.is_alive()


# The original: a program's own call is replaced (waits.py).
_join = threading.Thread.join
