"""Writes journal entries to the terminal as plain lines or as JSON, from one thread."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from mesh.commands.terminal.changes import ChangeLines
from mesh.commands.terminal.lines import Style, banner, line_of, tree
from mesh.observing.events import as_event
from mesh.observing.journal import MAX_BYTES, Change, Entry, Hold, Line, size_of
from mesh.observing.secrets import Secrets
from mesh.observing.span import Span

#: Entries that may wait for a slow terminal; more than this, or than MAX_BYTES, are counted and left out.
BACKLOG = 10_000
#: Seconds for the entries before a hard end of the process to be written.
LAST_SECONDS = 1.0
#: Seconds between two writes: each takes the GIL from a service that works, and a reader cannot tell.
PAUSE = 0.02
#: Characters written at once.
BATCH = 256 * 1024


class Printer:
    """A journal's subscriber. It never blocks the thread that appends, and never fails because of the stream."""

    def __init__(
        self,
        stream: TextIO,
        style: Style,
        header: Callable[[], Any],
        *,
        as_json: bool,
        quiet: bool,
        secrets: Secrets | None = None,
    ) -> None:
        self._stream = stream
        self._style = style
        self._header = header
        self._as_json = as_json
        self._quiet = quiet
        self._secrets = secrets or Secrets()
        self._changes = ChangeLines(style, lambda: header().snapshot)
        #: Entries, and marks to be set once everything before them has been written.
        self._waiting: queue.SimpleQueue[Entry | threading.Event] = queue.SimpleQueue()
        self._end = threading.Event()
        # Reentrant: a finalizer that runs while an entry is taken may print.
        self._lock = threading.RLock()
        self._waiting_bytes = 0
        self._left_out = 0
        #: Finished calls whose caller's call is not finished yet, by trace; and their number.
        self._open: dict[str, list[Span]] = {}
        self._held = 0
        self._thread = threading.Thread(target=self._write, name="printer", daemon=True)
        self._thread.start()

    def __call__(self, entry: Entry) -> None:
        size = size_of(entry)
        with self._lock:
            if self._waiting.qsize() >= BACKLOG or self._waiting_bytes + size > MAX_BYTES:
                self._left_out += 1
                return
            self._waiting_bytes += size
            self._waiting.put(entry)

    def close(self) -> None:
        """Write the remaining entries and stop the thread."""
        self._waiting.put(self._end)
        self._thread.join(timeout=2)

    def write_last(self, _: Line) -> None:
        """Wait until the entries so far, the last line before the process ends among them, have been written."""
        mark = threading.Event()
        self._waiting.put(mark)
        mark.wait(LAST_SECONDS)

    def _write(self) -> None:
        written = 0.0
        while not self._end.is_set():
            text, mark = self._batch(written + PAUSE)
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                pass  # The reader of `| head -1` has left, or the disk is full: the services keep running.
            written = time.monotonic()
            if mark is not None:
                mark.set()

    def _batch(self, earliest: float) -> tuple[str, threading.Event | None]:
        """Return the lines of the next entry and those queued behind it, and the mark that follows them.

        earliest: when it may be written, on the monotonic clock.
        """
        text = ""
        entry = self._take()
        if not isinstance(entry, threading.Event):
            time.sleep(max(0.0, earliest - time.monotonic()))
        while not isinstance(entry, threading.Event):
            text += "".join(f"{line}\n" for line in self._shown(entry))
            if self._waiting.empty() or len(text) > BATCH:
                break
            entry = self._take()
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        if left_out:
            text += f"({left_out} lines left out: the terminal is too slow)\n"
        return text, entry if isinstance(entry, threading.Event) else None

    def _take(self) -> Entry | threading.Event:
        entry = self._waiting.get()
        if not isinstance(entry, threading.Event):
            with self._lock:
                self._waiting_bytes -= size_of(entry)
        return entry

    def _shown(self, entry: Entry) -> list[str]:
        if self._as_json:
            return [self._event(entry)] if not (self._quiet and isinstance(entry, Span)) else []
        if isinstance(entry, Span):
            return [] if self._quiet else self._settled(entry)
        if isinstance(entry, Line):
            return line_of(entry, self._style)
        if isinstance(entry, Hold):
            return []  # The first of each place has a line.
        return self._news(entry)

    def _settled(self, span: Span) -> list[str]:
        """Return a trace's whole tree once its outermost call is over; hold the span until then."""
        if span.kind == "internal":
            return []  # It comes later than the tree.
        if not span.is_root:
            if self._held >= BACKLOG:
                self._open.clear()
                self._held = 0
            self._open.setdefault(span.trace_id, []).append(span)
            self._held += 1
            return []
        inner = self._open.pop(span.trace_id, [])
        self._held -= len(inner)
        return tree([span, *inner], self._style)

    def _news(self, change: Change) -> list[str]:
        if change.service != "mesh":
            return self._changes.of_service(change)
        self._changes.of_mesh(change)
        if change.state == "running":
            return banner(self._header(), self._style)
        if change.state != "stopping":
            return []
        over = "\r" if self._style.colour else ""  # A terminal has just shown ^C here.
        return [f"{over}stopping; waiting for calls in flight"]

    def _event(self, entry: Entry) -> str:
        if isinstance(entry, Change) and entry.service == "mesh" and entry.state == "running":
            return json.dumps({"event": "ready", **self._header().as_json()})
        return as_event(entry, secrets=self._secrets)
