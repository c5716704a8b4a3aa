"""Recognizes edits that cannot be loaded beside the code before: it holds what can be had once in a process."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from mesh.runtime.instances.port_owner import port_owner

#: The way out, with which the sentences end; a process that has it is replaced (process.py).
FRESH_PROCESS = 'or give the service isolation = "process"'


def needs_fresh_process(error: BaseException | None) -> str:
    """Return what to add to the reason of a reload that failed with this exception; empty if it failed otherwise.

    A port is told from the exception of `bind`, as mesh or asyncio noted it; anything else from a RuntimeError that
    says that something was done already, as those of debugpy and gevent do.
    """
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno == errno.EADDRINUSE:
            return _held_port(each)
        if isinstance(each, RuntimeError) and re.search(r"\balready\b", str(each)):
            return f"; if that can be done once in a process, keep what it made in mesh.state, {FRESH_PROCESS}"
    return ""


def _held_port(error: OSError) -> str:
    noted = re.search(r"bind on address \('[^']*', (\d+)", str(error))
    port = getattr(error, "mesh_port", None) or (int(noted[1]) if noted else None)
    owner = port_owner(port) if port else None
    if owner is None or owner.pid != os.getpid():
        return ""
    return (
        f"; port {port} is held by the code before the edit: keep what binds it in mesh.state, from which the next "
        f"code takes it, {FRESH_PROCESS}"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
