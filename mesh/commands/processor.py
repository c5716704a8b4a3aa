"""`--pin`: one processor for the whole process, whose threads share the GIL anyway."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mesh.commands.terminal.streams import write_lines
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.topology.model import Topology


def pin(topology: Topology, processes: bool) -> None:
    """Keep this process on one processor: the calling thread, and everything it starts.

    Raises UsageError if a service has its own process, which would inherit it. Warns where the system cannot do it.
    """
    own = [service.name for service in topology if processes or service.is_process or service.isolation == "process"]
    if own:
        raise UsageError(f"--pin would also keep the processes of {', '.join(own)} on that processor; leave it out")
    if sys.platform != "linux":
        write_lines("mesh: --pin works on Linux only; every processor is used", err=True)
        return
    # The highest: systems schedule most other work on the first.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
