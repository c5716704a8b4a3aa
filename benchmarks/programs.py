"""The programs that are measured: started on ports of their own, waited for, and ended by their own pids."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MESH = str(Path(sys.executable).with_name("mesh"))
SERVICES = ("gateway", "user-service", "product-service", "order-service")
#: As on a user's machine. With PYTHONDONTWRITEBYTECODE, which containers like to set, every start would compile mesh.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MESH_"))}
#: Seconds in which every port must answer.
PATIENCE = 60.0

_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#: What a client of HTTP/2 begins with; a gRPC server that is up answers with its own settings.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


@dataclass(frozen=True, slots=True)
class Program:
    """commands: of processes that are started at once. http, grpc: the ports that answer when it is up.

    environment: of the processes; None for that of a user's machine.
    """

    commands: tuple[tuple[str, ...], ...]
    http: tuple[int, ...]
    grpc: tuple[int, ...] = ()
    environment: Mapping[str, str] | None = None

    @property
    def url(self) -> str:
        """URL of the gateway."""
        return f"http://127.0.0.1:{self.http[0]}"


def mesh(*closed: str, flags: tuple[str, ...] = ()) -> Program:
    """The store as `mesh up` with these flags, but for the listeners that are closed.

    It prints its line for each call, as a developer's does, to where nobody reads.
    """
    options = [*flags, *(option for listener in closed for option in ("--except", listener))]
    return _store([options], closed)


def four_processes() -> Program:
    """The same code and ports, a process for each service."""
    return _store([["--only", service] for service in SERVICES], ())


def flask() -> Program:
    """The gateway's and the user service's route in Flask, each as Flask's own server runs it."""
    gateway, user = free_row(2), free_row(2)
    folder = Path(__file__).parent / "flask_store"
    return Program(
        (
            (sys.executable, str(folder / "user.py"), str(user)),
            (sys.executable, str(folder / "gateway.py"), str(gateway), f"http://127.0.0.1:{user}"),
        ),
        (gateway, user),
    )


def _store(options: Sequence[Sequence[str]], closed: Sequence[str]) -> Program:
    """options: of each process."""
    base = free_row(7)
    grpc = {"user-service.grpc": base + 3, "product-service.grpc": base + 5}
    return Program(
        tuple((MESH, "up", "--memory", "--port-base", str(base), *each) for each in options),
        (base, base + 1, base + 2, base + 4, base + 6),
        tuple(port for listener, port in grpc.items() if listener not in closed),
    )


@contextmanager
def running(program: Program, stderr: IO[str] | None = None) -> Iterator[list[int]]:
    """The program's pids, once every port answers. stderr: a file for what it writes there."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as complaints:
        env = ENVIRONMENT if program.environment is None else program.environment
        processes = [
            subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=stderr or complaints)
            for command in program.commands
        ]
        try:
            if not _is_up(program, processes):
                complaints.seek(0)
                raise RuntimeError(f"{' '.join(program.commands[0])} is not up: {complaints.read()}")
            yield [process.pid for process in processes]
        finally:
            _end(processes)


def milliseconds_to_answer(program: Program) -> float:
    """Time from exec until every port answers."""
    started = time.perf_counter()
    with running(program):
        return (time.perf_counter() - started) * 1000


def milliseconds_to_end(*command: str) -> float:
    """Time from exec to the end of a process that ends by itself."""
    started = time.perf_counter()
    subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, timeout=PATIENCE, check=True)
    return (time.perf_counter() - started) * 1000


def free_row(count: int) -> int:
    """The first of `count` ports in a row that nobody has, outside the range of outgoing connections."""
    while True:
        base = random.randrange(10_000, 32_000, 8)
        with suppress(OSError):
            for port in range(base, base + count):
                socket.create_server(("127.0.0.1", port)).close()
            return base


def _is_up(program: Program, processes: Sequence[subprocess.Popen[bytes]]) -> bool:
    """Return True as soon as every port answers, False if a process has ended or time is up."""
    until = time.monotonic() + PATIENCE
    waiting = [(port, _HEALTH, b"HTTP/1.1 200", b"HTTP/1.0 200") for port in program.http]
    waiting += [(port, _PREFACE, b"\0\0", b"\0\0") for port in program.grpc]
    # One after the other: to ask a hundred ports again and again takes a processor away from what is to start.
    for each in sorted(waiting):
        while not _answers(*each):
            if time.monotonic() > until or any(process.poll() is not None for process in processes):
                return False
            time.sleep(0.001)
    return True


def _answers(port: int, question: bytes, *answers: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(question)
            return connection.recv(64).startswith(answers)
    except OSError:
        return False


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
