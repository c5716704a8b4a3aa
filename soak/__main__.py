"""`python -m soak [--seconds N] [--seed N]`: a steady load with edits, then a hunt for crashes.

The exit status is 1 if a figure exceeds its limit.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from soak import crashes, steady
from soak.figures import Figure

#: Seconds; starts and checks come on top, the whole takes less than five minutes.
SECONDS = 240


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description="Runs mesh for minutes, and prints figures.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for both parts together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1000), help="of the crash hunt; printed")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {chosen.seconds:g} s", flush=True)
    is_good = True
    for figure in measured(chosen.seconds / 2, random.Random(chosen.seed)):
        print(figure, flush=True)
        is_good = is_good and figure.is_good
    return 0 if is_good else 1


def measured(seconds: float, chance: random.Random) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        yield from steady.figures(Path(folder), seconds)
    with tempfile.TemporaryDirectory() as folder:
        yield from crashes.figures(Path(folder), seconds, chance)


if __name__ == "__main__":
    sys.exit(main())
