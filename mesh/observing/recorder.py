"""Writes a journal's entries into the file of a run, behind the services' backs: in batches, by one thread."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from mesh.observing.journal import MAX_BYTES, Entry, size_of
from mesh.observing.runs import RunFile

#: Seconds between two batches: what a kill -9 may take.
INTERVAL_SECONDS = 0.25
BACKLOG = 50_000


class Recorder:
    """A journal's subscriber. It never blocks the thread that appends.

    warn: takes a sentence, once, where the file cannot be written; the services go on. backlog: entries that may wait
    to be written; what exceeds it, or MAX_BYTES, is counted and lost.
    """

    def __init__(self, file: Path, warn: Callable[[str], object], backlog: int = BACKLOG) -> None:
        self.file = file
        self._warn = warn
        self._backlog = backlog
        self._waiting: deque[tuple[int, Entry]] = deque()
        # Reentrant: a finalizer that runs in the middle of an append may print.
        self._lock = threading.RLock()
        self._waiting_bytes = 0
        self._number = 0
        self._lost = 0
        #: The number of the last entry that was written, or lost.
        self._done = 0
        self._written = threading.Condition()
        self._wake = threading.Event()
        self._is_ending = False
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def __call__(self, entry: Entry) -> None:
        size = size_of(entry)
        with self._lock:
            self._number += 1
            if len(self._waiting) >= self._backlog or self._waiting_bytes + size > MAX_BYTES:
                self._lost += 1
                return
            self._waiting_bytes += size
            self._waiting.append((self._number, entry))

    def flush(self, seconds: float = 1.0) -> None:
        """Return when everything appended so far is in the file, or after these seconds."""
        with self._lock:
            last = self._number
        self._wake.set()
        with self._written:
            self._written.wait_for(lambda: self._done >= last, seconds)

    def close(self) -> None:
        """Write the remaining entries and stop the thread."""
        self._is_ending = True
        self._wake.set()
        self._thread.join(timeout=5)

    def _write(self) -> None:
        run: RunFile | None = None
        is_last = False
        while not is_last:
            self._wake.wait(INTERVAL_SECONDS)
            self._wake.clear()
            is_last = self._is_ending
            batch, lost, last = self._take()
            try:
                run = run or RunFile(self.file)
                if batch or lost:
                    run.write(batch, lost)
            except sqlite3.Error as error:
                with self._lock:
                    self._lost += len(batch) + lost
                self._warn(f"{self.file} cannot be written: {error}; calls are not recorded until it can")
                self._warn = lambda text: None
            with self._written:
                self._done = last
                self._written.notify_all()
        if run is not None:
            run.close()

    def _take(self) -> tuple[list[tuple[int, Entry]], int, int]:
        """Return the waiting entries, how many were lost, and the number of the last of both."""
        with self._lock:
            batch, lost, last = list(self._waiting), self._lost, self._number
            self._waiting.clear()
            self._waiting_bytes = self._lost = 0
        return batch, lost, last
