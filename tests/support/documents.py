"""Reads the code blocks of a page of documentation, and runs them as a reader would: in order, in one folder.

What a page writes, and what happens:

- ```console: lines that begin with `$ ` are typed, what follows each is what it must print, exactly; a line `...`
  stands for any lines, and `...` within one for any text. `mesh up` runs on, as in a terminal of its own; `^C` ends it.
  A block without a `$ ` shows what the last mesh printed since.
- ```sh: a script of which every command must succeed; for curl, an answer of 400 and above is a failure.
- ```python, ```toml and ```proto: where the first line is a comment with a file's name, that file is written; Python
  without one is run.
- A comment on the line above a block says more of it: `<!-- times vary -->` (durations, clocks and pids need not be the
  same), `<!-- any order -->` (of the lines), `<!-- not run: REASON -->`.

Free ports replace those that the page names.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import Ports

#: Seconds a command may take, on a machine that is busy with other tests.
PATIENCE = 60.0

FENCE = re.compile(r"```(\S*)")
NOTE = re.compile(r"<!-- (.*) -->")
FILE = re.compile(r"(?:#|//) (\S+\.\w+)")
MESH_UP = re.compile(r"(\w+=\S+ )*mesh up\b(?!.*--help)")
READY = re.compile(r'ready in|"event": "ready"')
ANYTHING = re.compile("")

VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+"), "<moment>"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "<clock>"),
    # On a busy machine any start and any call may be slow, and any code hold up others.
    (re.compile(r"^<clock> \S+ +ready in \d+(\.\d+)? m?s  .*\n", re.MULTILINE), ""),
    (re.compile(r"^.* (blocked its event loop|held the GIL) for \d+ ms; .*\n", re.MULTILINE), ""),
    (re.compile(r" +\d+(\.\d+)? ms\b(  slow)?"), " <time>"),
    (re.compile(r"\bdur=\d+(\.\d+)?"), "dur=<time>"),
    (re.compile(r"\bin \d+\.\d+s\b"), "in <time>"),
    (re.compile(r"\bpid \d+"), "pid <pid>"),
    (re.compile(r'"(milliseconds|at|pid)": [\d.]+'), r'"\1": <number>'),
)


@dataclass(frozen=True, slots=True)
class Block:
    """line: of its first line, counted from 1. notes: what the comment above it says."""

    page: Path
    line: int
    language: str
    text: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_run(self) -> bool:
        return not any(note.startswith("not run: ") for note in self.notes)

    @property
    def file(self) -> str | None:
        """The name of the file that the block shows."""
        found = FILE.fullmatch(self.text.partition("\n")[0])
        return found[1] if found and self.language in ("python", "toml", "proto") else None

    def steps(self) -> Iterator[tuple[str, str]]:
        """Yield each command of a transcript, empty where it begins with output, and what is shown below it."""
        for part in re.split(r"^(?=\$ )", self.text, flags=re.MULTILINE):
            typed = re.match(r"(?:\$ .*\n(?:> .*\n)*)?", part)[0]  # type: ignore[index]  # matches the empty string
            command = "\n".join(line[2:] for line in typed.splitlines())
            if command or part.strip():
                yield command, part[len(typed) :]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = page.read_text().splitlines()
    start, language = 0, ""
    for number, line in enumerate(lines, 1):
        fence = FENCE.fullmatch(line)
        if fence and not start:
            start, language = number + 1, fence[1]
        elif fence:
            text = "".join(f"{each}\n" for each in lines[start - 1 : number - 1])
            note = NOTE.fullmatch(lines[start - 3]) if start > 2 else None
            notes = re.split(r", (?=times|any)", note[1]) if note else []
            yield Block(page, start, language, text, tuple(notes))
            start = 0


class Terminal:
    """A command that runs on, and all that it has printed so far."""

    def __init__(self, command: str, folder: Path, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._printed = ""
        self._seen = 0
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._printed += line
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def until(self, enough: Callable[[str], bool]) -> str:
        """Return what was printed since the last time, as soon as it is enough, or the command has ended."""
        with self._news:
            self._news.wait_for(lambda: self._ended or enough(self._printed[self._seen :]), PATIENCE)
            news = self._printed[self._seen :]
            self._seen = len(self._printed)
        return news

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reader.join()
            assert self._process.stdout is not None
            self._process.stdout.close()


class Reader:
    """Somebody who follows a page, in an empty folder."""

    def __init__(self, page: list[Block], folder: Path) -> None:
        self._folder = folder
        self._cwd = folder
        self._ports = Ports("".join(block.text for block in page), folder)
        self._terminals: list[Terminal] = []
        self._env = self._environment()

    def follow(self, block: Block) -> None:
        """Do what the block says; AssertionError where something else comes of it."""
        if block.file is not None:
            path = self._cwd / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._ports.real(block.text))
        elif block.language == "python":
            self._succeed(block, [sys.executable, "-c", self._ports.real(block.text)])
        elif block.language == "sh":
            strict = self._env | {"CURL_HOME": str(self._folder / ".strict")}
            self._succeed(block, ["bash", "-euo", "pipefail", "-c", self._ports.real(block.text)], strict)
        elif block.language == "console":
            for command, shown in block.steps():
                self._step(block, command, shown)

    def close(self) -> None:
        for terminal in self._terminals:
            terminal.close()

    def _step(self, block: Block, command: str, shown: str) -> None:
        started = READY if MESH_UP.match(command) else ANYTHING
        if started is READY:
            self._terminals.append(Terminal(self._ports.command(command), self._cwd, self._env))
        elif command:
            _same(block, shown, self._ports.shown(self._run(["bash", "-c", self._ports.real(command)])))
            return
        terminal = self._terminals[-1]
        before, interrupted, after = shown.partition("^C\n")
        before = before.strip("\n") or "..."
        news = terminal.until(
            lambda text: bool(started.search(text)) and matches(before, self._ports.shown(text), block.notes)
        )
        _same(block, before, self._ports.shown(news))
        if interrupted:
            terminal.interrupt()
            _same(block, after, self._ports.shown(terminal.until(lambda text: False)))

    def _run(self, command: list[str]) -> str:
        """Return what a command prints. The folder it ends in is that of the next one."""
        command = [*command[:-1], f"trap 'pwd > \"$HOME/.cwd\"' EXIT\n{command[-1]}"]
        result = subprocess.run(
            command,
            cwd=self._cwd,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self._cwd = Path((self._folder / ".cwd").read_text().rstrip("\n"))
        return result.stdout

    def _succeed(self, block: Block, command: list[str], env: dict[str, str] | None = None) -> None:
        result = subprocess.run(
            command,
            cwd=self._cwd,
            env=env or self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert result.returncode == 0, f"{block}: exit status {result.returncode}\n{result.stdout}"

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MESH_"))}
        (self._folder / ".curlrc").write_text('silent\nshow-error\nnoproxy = "*"\n')
        (self._folder / ".strict").mkdir()
        (self._folder / ".strict" / ".curlrc").write_text('silent\nshow-error\nfail-with-body\nnoproxy = "*"\n')
        path = f"{Path(sys.executable).parent}:{own['PATH']}"
        return own | {"PATH": path, "HOME": str(self._folder), "COLUMNS": "80", "LC_ALL": "C.UTF-8"}


def matches(shown: str, printed: str, notes: tuple[str, ...]) -> bool:
    """Return whether a command printed what a page shows of it."""
    pattern = "".join(_pattern(line) for line in _comparable(shown, notes))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _comparable(printed, notes))) is not None


def _pattern(line: str) -> str:
    return r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"


def _comparable(text: str, notes: tuple[str, ...]) -> list[str]:
    if "times vary" in notes:
        for volatile, name in VOLATILE:
            text = volatile.sub(name, text)
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    return sorted(lines) if "any order" in notes else lines


def _same(block: Block, shown: str, printed: str) -> None:
    assert matches(shown, printed, block.notes), f"{block}: it shows\n{shown}\nand this was printed\n{printed}"
