"""The zygote's own work: forks a process for each message, and reports how it ends."""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from mesh.runtime.launching.forked_process import BEGUN, ENDED, REFUSED, STATUS
from mesh.runtime.launching.zygote import MAX_DESCRIPTORS

#: Of the rest, a part is not always needed. grpc._server is what `grpc.server` imports when it is called.
IMPORTED = (
    "pickle",
    "mesh.commands.signals",
    "mesh.runtime.instances.process",
    "mesh.runtime.supervisor",
    "grpc._server",
    "uvloop",
)
#: The descriptors that a process has of the zygote: its standard streams, and where its begin and end are told.
STREAMS = 3


def import_all() -> None:
    """Import what each process of a service needs; raises RuntimeError if that starts a thread, which a fork loses."""
    for name in IMPORTED:
        importlib.import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError("a module that was imported has started a thread")


class Forking:
    """Serves mesh's end of the control socket until that is closed and every process has ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        #: Where the end of each process is reported, by its id.
        self._statuses: dict[int, int] = {}
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._waking, False)

    def serve(self) -> dict[int, int] | None:
        """Return None at the end; in each forked process, the descriptors that it was given, by mesh's numbers."""
        gc.freeze()  # What is imported here is never freed: a collection would copy its pages.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waking)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while self._control.fileno() >= 0 or self._statuses:
                for key, _ in selector.select():
                    if key.fd == self._woken:
                        os.read(self._woken, 4096)
                        self._report()
                        continue
                    message, received, _, _ = socket.recv_fds(self._control, 1, MAX_DESCRIPTORS)
                    if not message:
                        selector.unregister(self._control)
                        self._control.close()
                    elif self._fork(received):
                        selector.close()
                        return self._begin(received)
        return None

    def _fork(self, received: Sequence[int]) -> bool:
        """Return True in the new process."""
        status = received[STREAMS]
        try:
            pid = os.fork()
        except OSError as error:
            _tell(status, REFUSED, error.errno or 0)
            os.close(status)
        else:
            if pid == 0:
                return True
            self._statuses[pid] = status
        for descriptor in received:
            if descriptor != status:
                os.close(descriptor)
        return False

    def _report(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if (told := self._statuses.pop(pid, None)) is not None:
                    _tell(told, ENDED, os.waitstatus_to_exitcode(status))
                    os.close(told)

    def _begin(self, received: Sequence[int]) -> dict[int, int]:
        """Make this process one of its own, with its streams, folder and variables."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        for descriptor in (self._woken, self._waking, *self._statuses.values()):
            os.close(descriptor)
        os.setsid()  # before mesh knows its id, which is that of its group
        for number, descriptor in enumerate(received[:STREAMS]):
            os.dup2(descriptor, number)
            os.close(descriptor)
        _tell(received[STREAMS], BEGUN, os.getpid())
        os.close(received[STREAMS])
        told = json.loads(sys.stdin.readline())
        os.environ.clear()
        os.environ.update(told["environment"])
        time.tzset()
        os.chdir(told["folder"])
        if sys.path[0] == "/":  # where the zygote was started
            sys.path[0] = told["folder"]
        return dict(zip(told["held"], received[STREAMS + 1 :], strict=True))


def _tell(status: int, what: bytes, number: int) -> None:
    with suppress(BrokenPipeError):  # mesh is gone
        os.write(status, STATUS.pack(what, number))
