"""Stacks from while the GIL is held: a thread of faulthandler takes them, which runs C code only and needs no GIL."""

from __future__ import annotations

import faulthandler
import tempfile

from mesh.runtime.diagnostics.dumps import Stack, stacks_in

#: Begins each dump; one may be left from a time in which the process was stopped.
_HEADER = "Timeout ("


class HeldStacks:
    """Takes the stacks of all threads when `expect()` has not been called again for so many seconds.

    The process has one such timer: a test runner may need it, so only a mesh that has its process to itself uses it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._file = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # closed with this

    def expect(self) -> None:
        """Begin to wait for the next call."""
        faulthandler.dump_traceback_later(self._seconds, file=self._file)

    def taken(self) -> dict[int, Stack]:
        """Return what was taken last, by thread; empty if nothing was taken since the last time."""
        self._file.seek(0)
        dump = self._file.read()
        self._file.seek(0)
        self._file.truncate()
        return stacks_in(dump.rpartition(_HEADER)[2])

    def close(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._file.close()
