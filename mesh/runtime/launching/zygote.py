"""The zygote, as mesh sees it: a process that has imported what a service's process needs, and forks such processes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from mesh.runtime.launching.forked_process import BEGUN, REFUSED, STATUS, ChildProcess, ForkedProcess
from mesh.runtime.launching.process_group import start_words

#: Variables that the interpreter, the C library and imported packages read once, when they start.
READ_AT_START = re.compile(
    "(PYTHON|LD_|LC_|LANG|MALLOC_|GLIBC_|OPENSSL_|GRPC_|PROTOCOL_BUFFERS_|UVLOOP_|MESH_NAMES$).*", re.DOTALL
)
#: Descriptors that one message can carry on Linux.
MAX_DESCRIPTORS = 253
#: Seconds for the zygote to end when the processes that it has forked have ended.
END_SECONDS = 1.0


class Zygote:
    """Forks processes of services, each in a small part of the time that a new interpreter takes.

    It starts with the first of them, and serves those whose variables in READ_AT_START have the same values. Linux
    only: the system libraries of macOS may not be used in a forked process.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._lock = threading.Lock()
        self._can_fork = sys.platform == "linux"
        self._variables: dict[str, str] = {}
        self._control: socket.socket | None = None
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, folder: Path, environment: Mapping[str, str], held: Sequence[int]) -> ChildProcess:
        """Fork `mesh child`, which reads its Assignment from standard input, or start it anew where that cannot be.

        held: descriptors that it gets; it knows them by these numbers. Raises OSError if there can be no process.
        """
        forked = self._fork(folder, environment, held)
        return forked or start_words([sys.executable, "-m", "mesh", "child"], folder, environment, held)

    def renew(self) -> None:
        """Have the next process forked by another zygote; this one ends with the last that it has forked."""
        with self._lock:
            if self._control is not None:
                self._control.close()
                self._control = None

    def close(self) -> None:
        """End the zygote; its processes have ended."""
        self.renew()
        for process in self._processes:
            with process:
                try:
                    process.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
        self._processes.clear()

    def _fork(self, folder: Path, environment: Mapping[str, str], held: Sequence[int]) -> ForkedProcess | None:
        variables = {name: value for name, value in environment.items() if READ_AT_START.fullmatch(name)}
        with ExitStack() as failing:
            with ExitStack() as theirs, self._lock:
                control = self._control_for(variables)
                if control is None or len(held) > MAX_DESCRIPTORS - 4:
                    return None
                stdin, stdout, stderr, status = (_pipe(index > 0, failing, theirs) for index in range(4))
                with suppress(BrokenPipeError):  # There is no status either.
                    socket.send_fds(control, [b"f"], [stdin[1], stdout[1], stderr[1], status[1], *held])
            if not (told := os.read(status[0], STATUS.size)):
                self._give_up()
                return None
            what, number = STATUS.unpack(told)
            if what != BEGUN:
                raise OSError(number, os.strerror(number)) if what == REFUSED else OSError("it ended at once")
            failing.pop_all()
        process = ForkedProcess(number, stdin[0], stdout[0], stderr[0], status[0])
        surroundings = {"folder": str(folder), "environment": dict(environment), "held": list(held)}
        process.stdin.write(f"{json.dumps(surroundings)}\n")
        process.stdin.flush()
        return process

    def _control_for(self, variables: dict[str, str]) -> socket.socket | None:
        """Return the socket of a zygote with these variables; None if there is none."""
        if self._can_fork and self._control is None:
            self._control, self._variables = self._start(variables), variables
        return self._control if self._can_fork and variables == self._variables else None

    def _start(self, variables: Mapping[str, str]) -> socket.socket:
        here, there = socket.socketpair()
        others = {name: value for name, value in os.environ.items() if not READ_AT_START.fullmatch(name)}
        with there:
            process = subprocess.Popen(
                [sys.executable, "-m", "mesh", "zygote"],
                env={**others, **variables},
                cwd="/",
                stdin=there.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        self._processes.append(process)
        return here

    def _give_up(self) -> None:
        """Say why the zygote has ended; each process starts anew from here on."""
        with self._lock:
            if not self._can_fork:
                return
            self._can_fork = False
        process = self._processes[-1]
        assert process.stdout is not None
        process.kill()
        last = (process.stdout.read().strip().splitlines() or [f"status {process.wait()}"])[-1]
        self._warn(f"the process that forks the services' processes has ended: {last}; each of them starts anew")


def _pipe(is_read_here: bool, failing: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """Return this process's end and the other process's."""
    reading, writing = os.pipe()
    here, there = (reading, writing) if is_read_here else (writing, reading)
    failing.callback(os.close, here)
    theirs.callback(os.close, there)
    return here, there
