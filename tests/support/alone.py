"""A program that runs by itself, as its author starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import grpc
import requests

#: Seconds for anything that is waited for.
PATIENCE = 40.0

T = TypeVar("T")


class Alone:
    """output: what the program printed to its standard output, once it has ended."""

    output: list[str]


@contextmanager
def alone(folder: Path, *arguments: str, search: Sequence[Path] = ()) -> Iterator[Alone]:
    """Run `python ...` in the folder, and interrupt it as Ctrl-C does when the block ends."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search)), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    run = Alone()
    try:
        yield run
        process.send_signal(signal.SIGINT)
        run.output = process.communicate(timeout=PATIENCE)[0].splitlines()
    finally:
        process.kill()
        process.wait()


def as_soon_as(ask: Callable[[], T]) -> T:
    """Return the answer of a server that is starting."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except (requests.ConnectionError, grpc.RpcError):
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
