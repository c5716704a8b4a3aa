"""`--pin`: one processor for the whole process, whose threads take turns with one lock anyway."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mesh.commands.terminal.streams import write_lines
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.topology.model import Topology


def pin(topology: Topology, processes: bool) -> None:
    """Keeps this process on one processor: the calling thread, and all that it starts.

    UsageError where a service has a process of its own, which would inherit it. Where the system cannot, it is said.
    """
    own = [service.name for service in topology if processes or service.command or service.isolation == "process"]
    if own:
        raise UsageError(f"--pin would keep the processes of {', '.join(own)} on that processor, too; leave it out")
    if sys.platform != "linux":
        write_lines("mesh: --pin works on Linux only; every processor is used", err=True)
        return
    # The highest: what runs without being told where gathers on the first.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
