"""The command that starts a Python program: how `run` in mesh.toml names it."""

from __future__ import annotations

import re
import shlex
from typing import Literal

from msgspec import Struct

from mesh.errors import UsageError

_PYTHON = re.compile(r"(?:.*/)?python(?:3(?:\.\d+)?)?")
#: Options of the interpreter that change nothing in a thread of mesh.
_IGNORED_OPTIONS = frozenset({"-u", "-B", "-OO", "-O"})
#: What only a shell understands.
_SHELL = re.compile(r"[;&|<>`]|\$[\w({]")

#: Installed programs whose servers mesh serves.
PROGRAMS = ("uvicorn", "flask", "gunicorn", "fastapi", "hypercorn", "waitress-serve")

#: What such a command looks like, for error messages.
EXPECTED = '"server.py", "-m app.server", "uvicorn app:app" or "flask run", with arguments if need be'


class PythonCommand(Struct, frozen=True):
    """A script, a module or an installed program, and its arguments.

    target: the script's path, relative to the service's root, the module's dotted name, or the program's name.
    """

    kind: Literal["script", "module", "program"]
    target: str
    arguments: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> PythonCommand:
        """Parse a command line as it is typed in the service's root.

        Raises UsageError for a command that is no single Python program.
        """
        if _SHELL.search(text):
            raise UsageError(f"{text!r} is for a shell; {_WAY_OUT}")
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"{text!r} is not a command line: {error}") from None
        if words and _PYTHON.fullmatch(words[0]):
            del words[0]
        while words and words[0] in _IGNORED_OPTIONS:
            del words[0]
        match words:
            case ["-m", module, *arguments] if all(map(str.isidentifier, module.split("."))):
                return cls("module", module, tuple(arguments))
            case [script, *arguments] if script.endswith(".py") and not script.startswith("-"):
                return cls("script", script, tuple(arguments))
            case [program, *arguments] if program in PROGRAMS:
                return cls("program", program, tuple(arguments))
        raise UsageError(f"{text!r} is no Python program that mesh can run in a thread; {_WAY_OUT}")

    def __str__(self) -> str:
        return f"-m {self.target}" if self.kind == "module" else self.target


_WAY_OUT = f"expected {EXPECTED}; for any other program use command, which runs it in a process of its own"


def as_typed(run: str) -> str:
    """Return the command line as a shell takes it."""
    return run if run.startswith(("python", *PROGRAMS)) else f"python {run}"


def with_given_port(line: str, port: int) -> str:
    """Return a command line that names this port with the one that mesh gives it, `$PORT`, in its place."""
    return re.sub(rf"(?<![\w.]){port}(?![\w.])", "$PORT", line)
