"""The standard streams in any state: any encoding, closed, full, or without a reader."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import sys

import click

from mesh.observing.escaping import escaped


def write_lines(text: str, err: bool = False) -> None:
    """Print the output of a command. Only a line feed starts a line; other control characters are escaped."""
    click.echo("\n".join(map(escaped, text.split("\n"))), err=err)


def terminal_columns() -> int | None:
    """Return the width of the terminal that standard output is; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def prepare() -> None:
    """Make both streams accept any text; a closed one is replaced by one that discards its text."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # open until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            # Characters that the encoding lacks are written as escapes instead of raising an error.
            stream.reconfigure(errors="backslashreplace")


def is_reason(error: OSError) -> bool:
    """Return whether the error means that the stream takes no more; report a full disk, but not a reader that left."""
    if error.errno == errno.ENOSPC:
        with contextlib.suppress(OSError):
            print(f"mesh: the output cannot be written: {error.strerror}", file=sys.stderr)
    return error.errno in (errno.EPIPE, errno.ENOSPC)


def finish() -> None:
    """Flush the stream; if that fails, keep the interpreter from trying again and complaining."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
