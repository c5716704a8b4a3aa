"""The timer behind `signal.alarm` and `signal.setitimer`, one for each service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class IntervalTimer:
    """Calls `expire` when its time has passed, and again after each interval, in a separate thread."""

    def __init__(self, expire: Callable[[], object]) -> None:
        self._expire = expire
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._due: float | None = None
        self._interval = 0.0

    def get(self) -> tuple[float, float]:
        """Return the seconds left, 0.0 if the timer is off, and the interval."""
        due = self._due
        return (max(0.000001, due - time.monotonic()) if due is not None else 0.0), self._interval

    def set(self, seconds: float, interval: float = 0.0) -> tuple[float, float]:
        """Start the timer, or turn it off with 0 seconds; return what `get()` returned before."""
        with self._lock:
            before = self.get()
            self._cancelled.set()
            self._cancelled = threading.Event()
            self._due = time.monotonic() + seconds if seconds else None
            self._interval = interval if seconds else 0.0
            if seconds:
                run = threading.Thread(target=self._run, args=(self._cancelled, seconds), name="alarm", daemon=True)
                run.start()
        return before

    def _run(self, cancelled: threading.Event, seconds: float) -> None:
        while not cancelled.wait(seconds):
            with self._lock:
                if cancelled.is_set():
                    return
                seconds = self._interval
                self._due = time.monotonic() + seconds if seconds else None
            self._expire()
            if not seconds:
                return
