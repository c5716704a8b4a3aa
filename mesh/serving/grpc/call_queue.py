"""A short, bounded queue of gRPC calls before the threads that answer them."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

from mesh.context import current_call
from mesh.errors import Code, StatusError
from mesh.hosting.threads import call_in_flight, noted
from mesh.layers import STOPPED
from mesh.topology.model import Grpc


class _Waiting(NamedTuple):
    future: Future[Any]
    work: Callable[[], Any]
    until: float

    def run(self) -> None:
        """Do the work, unless the call was cancelled before a thread was free."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            outcome = self.work()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(outcome)

    def fail(self, error: StatusError) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class CallQueue(Executor):
    """Runs calls in as many threads as `grpc.workers` says, and fails those that wait too long for one.

    A call that finds the queue full, or has waited for `grpc.queue_seconds`, fails with StatusError
    RESOURCE_EXHAUSTED. The submitter provides the context of the work.

    begun: runs the further steps of calls that have begun. They take the next free thread and are never refused:
        otherwise new calls could end a stream midway.
    """

    def __init__(self, grpc: Grpc, pool: ThreadPoolExecutor) -> None:
        self._grpc = grpc
        self._pool = pool
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_begun: deque[_Waiting] = deque()
        self.begun: Executor = _Begun(self)
        self._running = 0
        self._has_watch = False
        self._closed = threading.Event()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        until = time.monotonic() + self._grpc.queue_seconds
        waiting = self._noted(partial(fn, *args, **kwargs), until)
        with self._lock:
            if self._takes_a_thread(waiting):
                return waiting.future
            has_place = len(self._waiting) < self._grpc.queue and not self._closed.is_set()
            if has_place:
                self._waiting.append(waiting)
            is_watched, self._has_watch = self._has_watch, self._has_watch or has_place
        if not has_place:
            waiting.future.set_exception(self._refusal(f"and {self._grpc.queue} calls wait for one"))
        elif not is_watched:
            threading.Thread(target=self._watch, name="grpc queue", daemon=True).start()
        return waiting.future

    def submit_begun(self, work: Callable[[], Any]) -> Future[Any]:
        """Run a further step of a call that has begun, before calls that have not."""
        waiting = self._noted(work, math.inf)
        with self._lock:
            if self._takes_a_thread(waiting):
                return waiting.future
            is_closed = self._closed.is_set()
            if not is_closed:
                self._waiting_begun.append(waiting)
        if is_closed:
            waiting.fail(StatusError(Code.UNAVAILABLE, STOPPED))
        return waiting.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Fail what waits; what runs continues."""
        self._closed.set()
        with self._lock:
            left = [*self._waiting_begun, *self._waiting]
            self._waiting_begun.clear()
            self._waiting.clear()
        for waiting in left:
            waiting.fail(StatusError(Code.UNAVAILABLE, STOPPED))
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _noted(self, work: Callable[[], Any], until: float) -> _Waiting:
        call = call_in_flight()
        return _Waiting(Future(), work if call is None else noted(work, call, self._grpc.workers), until)

    def _takes_a_thread(self, waiting: _Waiting) -> bool:
        """Hand the work to a thread if one is free; call with the lock held."""
        if self._running >= self._grpc.workers:
            return False
        # Outside of the call: the thread then runs others.
        context = copy_context()
        context.run(current_call.set, None)
        context.run(self._pool.submit, self._run, waiting)
        self._running += 1
        return True

    def _run(self, waiting: _Waiting | None) -> None:
        while waiting is not None:
            waiting.run()
            with self._lock:
                queue = self._waiting_begun or self._waiting
                waiting = queue.popleft() if queue else None
                self._running -= waiting is None

    def _watch(self) -> None:
        """Fail what has waited too long, until nothing waits."""
        while True:
            with self._lock:
                overdue = []
                while self._waiting and self._waiting[0].until <= time.monotonic():
                    overdue.append(self._waiting.popleft())
                pause = self._waiting[0].until - time.monotonic() if self._waiting else None
                self._has_watch = pause is not None
            for waiting in overdue:
                waiting.fail(self._refusal(f"for {self._grpc.queue_seconds:g} s"))
            if pause is None:
                return
            self._closed.wait(max(0.0, pause))

    def _refusal(self, why: str) -> StatusError:
        return StatusError(Code.RESOURCE_EXHAUSTED, f"all {self._grpc.workers} threads are busy, {why}")


class _Begun(Executor):
    """The queue, for further steps of calls that have begun."""

    def __init__(self, queue: CallQueue) -> None:
        self._queue = queue

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._queue.submit_begun(partial(fn, *args, **kwargs))


_refused = threading.local()


class RefusingQueue(Executor):
    """The queue for a synchronous gRPC server, which ignores a pool's failures: the work itself has to report them.

    spare: runs the work of a refused call, which then gets the reason from `refused()`.
    """

    def __init__(self, queue: CallQueue, spare: Executor) -> None:
        self._queue = queue
        self._spare = spare

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = self._queue.submit(fn, *args, **kwargs)
        future.add_done_callback(partial(self._refuse, partial(fn, *args, **kwargs)))
        return future

    def _refuse(self, work: Callable[[], Any], future: Future[Any]) -> None:
        if isinstance(error := future.exception(), StatusError):
            self._spare.submit(_run_refused, work, error)


def _run_refused(work: Callable[[], Any], error: StatusError) -> None:
    _refused.error = error
    try:
        work()
    finally:
        _refused.error = None


def refused() -> StatusError | None:
    """Return why the call that this thread begins is refused, or None."""
    error: StatusError | None = getattr(_refused, "error", None)
    return error
