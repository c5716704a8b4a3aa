"""The soak runs and finds nothing; `make soak` gives it the time to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from soak.figures import Figure

ROOT = Path(__file__).parents[1]


def test_the_soak_prints_its_figures_and_ends_well_when_none_is_bad() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "soak", "--seconds", "2", "--seed", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    first, *rows = ran.stdout.splitlines()
    assert first == "seed 7, 2 s"
    assert [row.partition(": ")[0] for row in rows] == ["steady"] * 10 + ["crashes"] * 5
    assert "EXCEEDED" not in ran.stdout


def test_a_figure_beyond_its_limit_is_bad_and_says_so() -> None:
    good, bad = Figure("calls that failed", 0, at_most=0), Figure("calls that failed", 1, at_most=0)
    assert (good.is_good, bad.is_good) == (True, False)
    assert str(bad).endswith("1      at most 0: EXCEEDED")
