"""Signals and the end of a process of services: the first stops its supervisor, the second ends it at once."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from mesh.commands.stop_guard import MORE_SECONDS, StopGuard
from mesh.commands.terminal import streams
from mesh.observing.journal import Change

if TYPE_CHECKING:
    from mesh.observing.journal import Entry
    from mesh.runtime.supervisor import Supervisor

#: The exit status after each signal that stops a mesh. Closing the terminal ends it like SIGTERM.
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}

#: Seconds that libraries get for their work at exit.
EXIT_SECONDS = 1.0


def leave(supervisor: Supervisor, status: int) -> NoReturn:
    """End the process without finalizing the interpreter.

    Threads of services and libraries may still run. Up to Python 3.13, finalization ends each thread that asks for the
    GIL, even in the middle of C++ code (see PyEval_RestoreThread), which can crash.
    """
    if not supervisor.has_unfinished_work:  # A blocked thread may hold the locks that atexit functions wait for.
        limit = threading.Timer(EXIT_SECONDS, _give_up, (threading.get_ident(), status))
        limit.daemon = True
        limit.start()
        atexit._run_exitfuncs()
    streams.finish()
    os._exit(status)


def _give_up(thread: int, status: int) -> None:
    from mesh.runtime.diagnostics.stacks import stack_of

    text = f"mesh: what a library registered with atexit did not end within {EXIT_SECONDS:g} s:\n{stack_of(thread)}\n"
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
    os._exit(status)


class StopSignals:
    """Handles stop signals from before anything is loaded; without a supervisor, a signal ends the process.

    Signals are received by a separate thread. The main thread, where Python runs signal handlers, would miss one that
    arrives just before it waits for the supervisor's queue, and receive none while it is busy.

    statuses: the signals that stop the process, each with its exit status. guarded: end it although C code holds the
        GIL.
    """

    def __init__(self, statuses: Mapping[signal.Signals, int] = STATUS, guarded: bool = False) -> None:
        self._statuses = statuses
        self._supervisor: Supervisor | None = None
        self._asked = False
        #: Called before a second signal ends the process at once.
        self.before_exit: Callable[[], object] = lambda: None
        # A crash in C code ends every service, so print where each thread was. stderr may be closed.
        with contextlib.suppress(AttributeError, OSError, RuntimeError, ValueError):
            faulthandler.enable()
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        #: None where another process sees to the end of this one.
        self.guard = StopGuard(self._reading, statuses) if guarded else None
        for number in statuses:
            # Under nohup SIGHUP stays ignored. SIGINT is always handled: a script's shell ignores it for everything it
            # starts with `&`, and yet `kill -INT` is meant for this process.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: None)
        signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._hear, name="signals", daemon=True).start()

    def of(self, supervisor: Supervisor) -> None:
        """Pass signals on to the supervisor from now on, those too that its services may have handlers for."""
        from mesh.hosting.processes.signals import HEARD

        self._supervisor = supervisor
        if self.guard is not None:
            self.guard.watch(supervisor.grace)
            supervisor.journal.subscribe(self._note)
        for number in HEARD:
            if signal.getsignal(number) is signal.SIG_DFL:  # Else a profiler, say, that runs mesh wants it.
                signal.signal(number, lambda number, frame: None)

    def _note(self, entry: Entry) -> None:
        """Limit the time of a stop, also of one that was requested otherwise."""
        if self.guard is not None and self._supervisor is not None:
            match entry:
                case Change("mesh", "stopping"):
                    self.guard.expect_end_within(self._supervisor.grace + MORE_SECONDS)
                case Change("mesh", "stopped"):
                    self.guard.expect_end_within(EXIT_SECONDS + MORE_SECONDS)

    def _hear(self) -> None:
        # A signal is taken once it has been handled: until then, the guard sees it.
        while heard := self._reading.recv(1, socket.MSG_PEEK):
            if heard[0] in self._statuses:
                self._stop(signal.Signals(heard[0]))
            elif self._supervisor is not None:
                self._supervisor.signal_arrived(heard[0])
            self._reading.recv(1)

    def _stop(self, number: signal.Signals) -> None:
        status = self._statuses[number]
        if self._asked or self._supervisor is None:
            self.before_exit()
            os._exit(status)
        self._asked = True
        if self.guard is not None:
            self.guard.expect_end_within(self._supervisor.grace + MORE_SECONDS)
        from mesh.runtime.messages import Stop

        self._supervisor.post(Stop(number.name, status))
