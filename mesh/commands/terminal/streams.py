"""The standard streams as they really are: in any encoding, closed, full, or with nobody at the other end."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys

import click

#: Characters that move the cursor, ring, colour, begin a line, or change the direction in which text is shown (bidi).
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    """Return the text as one line that cannot steer the terminal: control characters become `\\x1b`, `\\u202e`."""
    return _CONTROL.sub(lambda found: _escape(ord(found[0])), text)


def write_lines(text: str, err: bool = False) -> None:
    """Print what a command has to say. Only a line feed begins a line; every other control character is escaped."""
    click.echo("\n".join(map(escaped, text.split("\n"))), err=err)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def prepare() -> None:
    """Makes both streams take any text; one that is closed becomes one that goes nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # open until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            # What the terminal has no letter for is shown as its escape, and is no reason to fail.
            stream.reconfigure(errors="backslashreplace")


def is_reason(error: OSError) -> bool:
    """Whether the error says that nothing more can be written; a full disk is told, a reader that left is not."""
    if error.errno == errno.ENOSPC:
        with contextlib.suppress(OSError):
            print(f"mesh: the output cannot be written: {error.strerror}", file=sys.stderr)
    return error.errno in (errno.EPIPE, errno.ENOSPC)


def finish() -> None:
    """Writes what is left; where that fails, keeps the interpreter from trying and complaining once more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
