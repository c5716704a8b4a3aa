"""The file descriptors that this process may open: sockets, pipes and files.

A new descriptor gets the lowest free number, so the number of a new socket shows how many are in use.
"""

from __future__ import annotations

import os
import resource
import sys

from mesh.errors import Code, MeshError, StatusError

#: The highest limit that mesh sets: some programs close every descriptor up to their limit when they start.
MAX_LIMIT = 65_536
#: Descriptors of an idle service, with its loop and its servers; and of a first gRPC channel.
PER_SERVICE, PER_CHANNEL = 10, 8


def raise_limit() -> None:
    """Raise the soft limit to the hard one, for this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_LIMIT if hard == resource.RLIM_INFINITY else min(hard, MAX_LIMIT)
    # macOS accepts at most OPEN_MAX, whatever the hard limit says.
    for value in (wanted, 10_240) if sys.platform == "darwin" else (wanted,):
        if soft != resource.RLIM_INFINITY and value > soft:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (value, hard))
            except (OSError, ValueError):
                continue
            return


def limit() -> int:
    """Return how many descriptors this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_LIMIT if soft == resource.RLIM_INFINITY else min(soft, MAX_LIMIT)


def reserve() -> int:
    """Return how many of them are reserved for calls between services and for files."""
    return min(limit() // 6, 2048)


def check(services: int, listeners: int) -> None:
    """Raise MeshError if the limit leaves too little for these services and their callers."""
    in_use = len(os.listdir("/dev/fd"))
    needed = (in_use + listeners + services * PER_SERVICE) * 4 // 3 + 2 * PER_CHANNEL
    if limit() < needed:
        counted = f"{services} service{'' if services == 1 else 's'}"
        raise MeshError(
            f"this shell lets a program open {limit()} files and sockets; {counted} and their callers need at least "
            f"{needed}: raise the limit with `ulimit -n 1024`"
        )


def check_free(count: int) -> None:
    """Raise StatusError if so many descriptors are not available now: gRPC ends the process if it gets none."""
    taken: list[int] = []
    try:
        while len(taken) < count:
            taken.append(os.dup(0) if not taken else os.dup(taken[0]))
    except OSError as error:
        raise StatusError(
            Code.UNAVAILABLE, f"all of the {limit()} files and sockets that this process may open are in use"
        ) from error
    finally:
        for each in taken:
            os.close(each)
