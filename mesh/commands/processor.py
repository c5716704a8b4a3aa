"""`--pin` and `--no-pin`: the processor of the whole process, whose threads share the GIL anyway."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.commands.terminal.streams import write_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mesh.hosting.processes.one_processor import Affinity
    from mesh.topology.model import Service

#: Where Linux tells how fast a processor is, if they differ: relative to the fastest, or its highest kHz.
_SPEEDS = ("cpu_capacity", "cpufreq/cpuinfo_max_freq")


def affinity(pin: bool | None, services: Iterable[Service]) -> Affinity | None:
    """Return the processor to keep to, None for all. pin: what the user says; None if nothing.

    services: those that may share a processor. One that is alone in the process gains nothing. Warns where the system
    cannot do it.
    """
    if sys.platform != "linux":
        if pin:
            write_lines("mesh: --pin works on Linux only; every processor is used", err=True)
        return None
    allowed = os.sched_getaffinity(0)
    together = [each for each in services if not each.is_process and each.isolation != "process"]
    if len(allowed) == 1 or not (len(together) > 1 if pin is None else pin):
        return None
    from mesh.hosting.processes.one_processor import Affinity

    return Affinity(fast_one(allowed), bool(pin))


def fast_one(allowed: set[int], system: Path = Path("/sys/devices/system/cpu")) -> int:
    """Return one of the fastest processors at random, so that two meshes rarely meet; the system prefers the first.

    system: where Linux describes the processors.
    """
    speeds = {number: _speed(system / f"cpu{number}") for number in allowed}
    fastest = [number for number in allowed if speeds[number] == max(speeds.values())]
    return random.choice([number for number in fastest if number != min(allowed)] or fastest)


def _speed(processor: Path) -> int:
    for name in _SPEEDS:
        try:
            return int((processor / name).read_text())
        except (OSError, ValueError):
            continue
    return 0
