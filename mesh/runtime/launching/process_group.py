"""The process group of a child: a shell in it ends the whole group when mesh is gone, however mesh ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from mesh.runtime.launching.forked_process import ChildProcess

# Standard input is a pipe from mesh, which ends with mesh. A separate process waits for its end, so that no thread
# of the service, whatever it does with the GIL, keeps it from ending the group after $1 seconds.
_GUARD = "trap '' TERM INT; read -r _; kill -TERM 0; sleep \"$1\"; kill -KILL 0"
# The shell ends after its command, not before: a trap waits for it.
_SHELL = f"""
exec 3<&0 </dev/null
(set -- 1; {_GUARD}) <&3 >/dev/null 2>&1 &
exec 3<&-
trap 'exit 143' TERM
trap 'exit 130' INT
eval "$1"
"""


def start(command: str, folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start the command in a shell, in a new process group; its standard input is empty.

    Raises OSError if no process can be started, or the folder does not exist.
    """
    return start_words(["/bin/sh", "-c", _SHELL, "mesh", command], folder, environment)


def start_words(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], held: Sequence[int] = ()
) -> subprocess.Popen[str]:
    """Start a program in a new process group, its three streams as text. held: descriptors that it gets.

    Raises OSError if no process can be started, or the folder does not exist.
    """
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=held,
    )


def guard(grace: float) -> None:
    """End the calling process and its group when standard input ends: SIGTERM at once, SIGKILL after `grace` seconds.

    After that, this process has an empty standard input.
    """
    words = ["/bin/sh", "-c", _GUARD, "mesh", f"{grace:g}"]
    shell = subprocess.Popen(words, stdin=0, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shell.returncode = 0  # It outlives this process; nothing waits for it.
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)


def clear(process: ChildProcess) -> None:
    """End everything that an ended process left behind in its group."""
    send(process, signal.SIGKILL)
    if process.stdin is not None:
        # What was never read is of no use any more.
        with contextlib.suppress(OSError):
            process.stdin.close()


def send(process: ChildProcess, number: signal.Signals) -> None:
    """Send the signal to the process and its group."""
    # macOS refuses if only zombies are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def describe_exit(status: int) -> str:
    """Return an exit status in words; a shell reports a signal as 128 plus its number."""
    number = -status if status < 0 else status - 128
    try:
        return f"was ended by {signal.Signals(number).name}"
    except ValueError:
        return f"ended with status {status}"
