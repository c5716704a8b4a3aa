"""A process that the zygote has forked: as much of `subprocess.Popen` as instances use."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import threading
from contextlib import suppress
from typing import BinaryIO, TextIO

#: Of a process, on its status pipe: what is told, and a number.
STATUS = struct.Struct("=ci")
#: It has begun, with this id, or could not be forked, for this reason (errno), or has ended, with this status.
BEGUN, REFUSED, ENDED = b"b", b"r", b"e"


class ForkedProcess:
    """A process whose parent is the zygote, which reports its end."""

    def __init__(self, pid: int, stdin: int, stdout: int, stderr: int, status: int) -> None:
        """Take over descriptors. status: where its end is reported, with a number as Popen's, negative for a signal."""
        self.pid = pid
        self.stdin: TextIO = open(stdin, "w", errors="replace")  # noqa: SIM115  # closed with the process
        self.stdout: TextIO = open(stdout, errors="replace")  # noqa: SIM115
        self.stderr: TextIO = open(stderr, errors="replace")  # noqa: SIM115
        #: None while the process runs.
        self.returncode: int | None = None
        self._status: BinaryIO = open(status, "rb", buffering=0)  # noqa: SIM115
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return how the process has ended; None if it runs."""
        if self._lock.acquire(blocking=False):  # else, another thread waits for its end
            try:
                if self.returncode is None and _is_readable(self._status):
                    self._learn()
            finally:
                self._lock.release()
        return self.returncode

    def wait(self) -> int:
        """Wait for the process; return how it has ended."""
        with self._lock:
            return self._learn() if self.returncode is None else self.returncode

    def _learn(self) -> int:
        message = self._status.read(STATUS.size)
        self._status.close()
        if message:
            self.returncode = STATUS.unpack(message)[1]
        else:
            # The zygote is gone, so that the end of this process would stay unknown.
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.returncode = -signal.SIGKILL
        return self.returncode


#: What instances hold.
ChildProcess = subprocess.Popen[str] | ForkedProcess


def _is_readable(pipe: BinaryIO) -> bool:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(0))
