"""The threads that this user may still start: gRPC ends the process, or waits for ever, if it gets none."""

from __future__ import annotations

import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path

from mesh.errors import MeshError

#: Threads of mesh itself, with gRPC's and the process that ends it if it cannot stop; and those of an idle service.
OWN, PER_SERVICE = 16, 3
#: A limit from here on is not reached by mesh, and is not looked at.
AMPLE = 2_000
#: Where a container has its limit (cgroup v2).
CGROUP = Path("/sys/fs/cgroup/pids.max")


def check(services: int) -> None:
    """Raise MeshError if the limit leaves too few threads for these services; takes a millisecond if there is one."""
    limit = _limit()
    needed = OWN + services * PER_SERVICE
    if limit is None or _can_start(needed - threading.active_count()):
        return
    counted = f"{services} service{'' if services == 1 else 's'}"
    raise MeshError(
        f"only {limit} processes and threads may run here, and most of them do; {counted} need about {needed}: end "
        "some programs, or raise the limit with `ulimit -u` (in a container, `--pids-limit`)"
    )


def _limit() -> int | None:
    """Return the limit; None if there is none, or an ample one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    limits = [] if soft == resource.RLIM_INFINITY else [soft]
    if sys.platform == "linux":
        with suppress(OSError, ValueError):  # no such file, or "max" in it
            limits.append(int(CGROUP.read_text()))
    return min((each for each in limits if each < AMPLE), default=None)


def _can_start(count: int) -> bool:
    end = threading.Event()
    try:
        for _ in range(count):
            threading.Thread(target=end.wait, daemon=True).start()
    except RuntimeError:
        return False
    finally:
        end.set()
    return True
