"""`python -m benchmarks [--quick] [--write PAGE] [FAMILY]...`: prints the table."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from statistics import median

from benchmarks import editing, falling_back, importing, live, many, memory, packages, recording, starting, traffic
from benchmarks import transcoding as transcoder
from benchmarks.programs import milliseconds_to_end
from benchmarks.rounds import FULL, QUICK, Effort
from benchmarks.table import heading, line

FAMILIES = {
    "start": starting.rows,
    "traffic": traffic.rows,
    "fallback": falling_back.rows,
    "memory": memory.rows,
    "record": recording.rows,
    "many": many.rows,
    "packages": packages.rows,
    "live": live.rows,
    "edit": editing.rows,
    "import": importing.rows,
    "transcoder": transcoder.rows,
}

_IMPORTS = "import asyncio, google.protobuf.message, grpc, click, uvicorn, starlette.applications"

#: What stands between them in a page is the table as it was last printed.
BEGIN, END = "<!-- the table, as printed -->", "<!-- end of the table -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures mesh, and prints one table.")
    parser.add_argument("family", nargs="*", choices=[[], *FAMILIES], help="measure just this; by default all")
    parser.add_argument("--quick", action="store_true", help="show that everything works; the figures mean nothing")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page as well")
    chosen = parser.parse_args()
    printed = []
    for text in report(chosen.family or list(FAMILIES), QUICK if chosen.quick else FULL):
        print(text, flush=True)
        printed.append(text)
    if chosen.write:
        before, _, rest = chosen.write.read_text().partition(BEGIN)
        chosen.write.write_text("\n".join([before + BEGIN, *printed, END]) + rest.partition(END)[2])


def report(families: Sequence[str], effort: Effort) -> Iterator[str]:
    """The table line by line, and when and where it was made."""
    load, before = busy(), processor_times()
    yield heading()
    for family in families:
        for row in FAMILIES[family](effort):
            yield line(row.cells())
    taken = f"Taken on {date.today()} with {machine()}, {load} at the start and {busy()} at the end"
    yield f"\n{taken}{stolen(before, processor_times())}. {speed()}"


def machine() -> str:
    """The shape of this machine; its name is nobody's business."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def busy() -> str:
    """Return how many threads have wanted a core in the last minute, ours among them."""
    return f"a load of {os.getloadavg()[0]:.1f}"


def speed() -> str:
    """Time something on this machine that others can try on theirs: goals in milliseconds mean one machine."""
    took = median(milliseconds_to_end(sys.executable, "-c", _IMPORTS) for _ in range(9))
    return f"Here, `python -c '{_IMPORTS}'` takes {took:.0f} ms."


def processor_times() -> list[int]:
    """Ticks of all processors, as Linux counts them: user, nice, system, idle, iowait, irq, softirq, steal, ..."""
    counted = Path("/proc/stat")
    return [int(each) for each in counted.read_text().split("\n")[0].split()[1:]] if counted.exists() else []


def stolen(before: Sequence[int], after: Sequence[int]) -> str:
    """Return what a virtual machine's host took away during the measurement: it shows in every p99."""
    if not before:
        return ""
    spent = [new - old for old, new in zip(before, after, strict=True)]
    return f"; {spent[7] / max(1, sum(spent) - spent[3] - spent[4]):.1%} of the processor time was the host's"


if __name__ == "__main__":
    main()
