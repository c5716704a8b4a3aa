"""How a process of services ends: a first signal asks its supervisor to stop, a second ends it at once."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import signal
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from mesh.commands.terminal import streams

if TYPE_CHECKING:
    from mesh.runtime.supervisor import Supervisor

#: The exit status after each signal that stops a mesh. The closing of a terminal ends it as a termination does.
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}

#: Seconds that libraries get for what they do at the end of a process.
EXIT_SECONDS = 1.0


def leave(supervisor: Supervisor, status: int) -> NoReturn:
    """Ends the process, when nothing is left to be done, without taking the interpreter apart first.

    Threads of services and of libraries still live then. Up to 3.13, Python exits each that asks for the interpreter
    while it goes away, in the middle of C++ code too (docs of PyEval_RestoreThread), which can crash.
    """
    if not supervisor.stuck:  # Else who is stuck may hold what these wait for.
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
    """Installed before anything is loaded; until there is a supervisor, a signal just ends the process.

    Signals are heard by a thread of their own. The main thread, where Python runs their handlers, would miss one that
    arrives in the moment before it waits for the supervisor's queue, and hear none while it is busy.

    statuses: the signals that stop the process, each with the exit status that follows.
    """

    def __init__(self, statuses: Mapping[signal.Signals, int] = STATUS) -> None:
        self._statuses = statuses
        self._supervisor: Supervisor | None = None
        self._asked = False
        # A crash in C code ends every service: it must say where each thread stood. stderr may be closed.
        with contextlib.suppress(AttributeError, OSError, RuntimeError, ValueError):
            faulthandler.enable()
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        for number in statuses:
            # nohup ignores SIGHUP for us. SIGINT is heard in any case: the shell of a script ignores it for everything
            # that is started with `&`, and `kill -INT` is meant for this process all the same.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._hear, args=(reading,), name="signals", daemon=True).start()

    def of(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def _hear(self, reading: int) -> None:
        while heard := os.read(reading, 1):
            if heard[0] in self._statuses:
                self._stop(signal.Signals(heard[0]))

    def _stop(self, number: signal.Signals) -> None:
        status = self._statuses[number]
        if self._asked or self._supervisor is None:
            os._exit(status)
        self._asked = True
        from mesh.runtime.messages import Stop

        self._supervisor.post(Stop(number.name, status))
