"""Command lines as processes: what they print, line by line, and how they end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil
import pytest
import requests

#: Seconds for anything that is waited for; on a machine with other test runs on it some of them are needed.
PATIENCE = 40.0

P = TypeVar("P", bound="Program")

MESH = (sys.executable, "-m", "mesh")


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment without what would change a mesh, and with the changes; None takes one out."""
    other = ("MESH_", "PYTHONUNBUFFERED", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(other)}
    wanted = {**kept, **changes}
    return {name: value for name, value in wanted.items() if value is not None}


def ended(pid: int, within: float = PATIENCE) -> bool:
    """Return whether the process ends, or has ended already; it need not be a child of this one."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            return bool(select.select([descriptor], [], [], within)[0])
        finally:
            os.close(descriptor)
    return True


def suspend(pid: int) -> None:
    """Suspend a process that this one has started, or a zygote of this one; its threads have stopped on return."""
    os.kill(pid, signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, pid, os.WSTOPPED)
    except ChildProcessError:
        threads = [Path(f"/proc/{pid}/task/{each.id}/stat") for each in psutil.Process(pid).threads()]
        while not all(each.read_text().rpartition(") ")[2].startswith("T") for each in threads):
            time.sleep(0.01)


class Program:
    """A program that runs, its two streams read as they come; ended by its own id when its test is over."""

    def __init__(self, words: Sequence[str], folder: Path, env: Mapping[str, str], **options: Any) -> None:
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        # A session of its own: a signal of the terminal that the tests run in is not meant for it.
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            env=dict(env),
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            **given,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._news = threading.Condition()
        streams = [(self.process.stdout, self.out), (self.process.stderr, self.err)]
        read = [(stream, lines) for stream, lines in streams if stream is not None]
        self._open = len(read)
        self._readers = [self._reader(stream, lines) for stream, lines in read]

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, found: Callable[[], Any]) -> Any:
        """The first true value of `found()`, asked again at every line; fails where the program ends without one."""
        with self._news:
            arrived = self._news.wait_for(lambda: found() or not self._open, PATIENCE)
            if value := found():
                return value
        pytest.fail(f"{'ended' if arrived else 'went on'} without it; printed\n{self.text()}")

    def line(self, part: str) -> str:
        """The first line on either stream that holds `part`."""
        line: str = self.wait_for(lambda: next((each for each in [*self.out, *self.err] if part in each), None))
        return line

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals | None = None) -> int:
        """The exit status, after the signal where one is given; everything it printed has then been read."""
        if number is not None:
            self.send(number)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"did not end; printed\n{self.text()}")
        for reader in self._readers:
            reader.join(PATIENCE)
        return status

    def text(self) -> str:
        """Both streams, stderr last."""
        return "".join([*self.out, *self.err])

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr, self.process.stdin):
            if stream is not None:
                stream.close()

    def _reader(self, stream: IO[str], lines: list[str]) -> threading.Thread:
        def read() -> None:
            for line in stream:
                with self._news:
                    lines.append(line)
                    self._news.notify_all()
            with self._news:
                self._open -= 1
                self._news.notify_all()

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread


@dataclass(frozen=True, slots=True)
class Ran:
    """A command line that ran within this process."""

    status: int
    out: str
    err: str


RunMesh = Callable[..., Ran]


class Up(Program):
    """`mesh up --json`."""

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.out) if line.startswith("{")]

    def event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first event of that kind with these fields."""

        def found() -> dict[str, Any] | None:
            matching = (each for each in self.events() if each["event"] == kind and fields.items() <= each.items())
            return next(matching, None)

        event: dict[str, Any] = self.wait_for(found)
        return event

    def ready(self) -> dict[str, Any]:
        return self.event("ready")

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(each for each in self.ready()["services"] if each["name"] == name)
        return found

    def http(self, service: str) -> str:
        """The first URL of a service."""
        return str(self.service(service)["http"][0])

    def grpc(self, service: str) -> str:
        return str(self.service(service)["grpc"])


class Shell:
    """A project's folder, and the commands typed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = environment()
        self.programs: list[Program] = []

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def up(self, *options: str, folder: Path | None = None, env: Mapping[str, str | None] | None = None) -> Up:
        """Starts `mesh up --json`, without waiting for anything."""
        return self._started(Up([*MESH, "up", "--json", *options], folder or self.folder, self._env(env)))

    def start(
        self, *words: str, folder: Path | None = None, env: Mapping[str, str | None] | None = None, **streams: Any
    ) -> Program:
        """Starts `mesh` with these words."""
        return self._started(Program([*MESH, *words], folder or self.folder, self._env(env), **streams))

    def run(self, *words: str, **options: Any) -> Program:
        """The same, when it has ended; its status is `program.process.returncode`."""
        program = self.start(*words, **options)
        program.end()
        return program

    def close(self) -> None:
        for program in self.programs:
            program.close()

    def _env(self, changes: Mapping[str, str | None] | None) -> dict[str, str]:
        merged = {**self.env, **(changes or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def _started(self, program: P) -> P:
        self.programs.append(program)
        return program


def get(url: str, **options: Any) -> requests.Response:
    return requests.get(url, timeout=PATIENCE, **{"proxies": {"http": "", "https": ""}, **options})


@contextlib.contextmanager
def in_background(call: Callable[[], Any]) -> Iterator[list[Any]]:
    """Runs the call beside the block; its outcome, or what it raised, is in the list when the block is left."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield outcome
    thread.join(PATIENCE)
