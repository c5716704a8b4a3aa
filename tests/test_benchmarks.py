"""The benchmarks run; what they measure is for `make bench` to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.__main__ import BEGIN, END
from benchmarks.table import Goal, Row

ROOT = Path(__file__).parents[1]


def test_a_family_of_rows_is_measured_printed_as_a_table_and_put_into_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before\n\n{BEGIN}\nan old table\n{END}\n\nAfter\n")
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--write", str(page), "fallback"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    heading, _, *rows = result.stdout.partition("\n\nTaken on ")[0].splitlines()
    assert heading.startswith("| what")
    assert [row.split("|")[1].strip() for row in rows] == [
        "order, gRPC refused, 1 at once: p50",
        "order, gRPC refused, 16 at once: p50",
    ]
    assert page.read_text() == f"Before\n\n{BEGIN}\n{result.stdout}{END}\n\nAfter\n"


def test_a_row_says_the_ratio_and_whether_the_goal_is_met() -> None:
    assert Row("start", 389.4, "four processes", 1501, "ms", Goal("at most", 0.5)).cells() == (
        "start", "389 ms", "four processes", "1,501 ms", "0.26", "at most 0.5: met",
    )  # fmt: skip
    assert Row("rate", 900, "Flask", 300, "/s", Goal("at least", 5)).cells()[-2:] == ("3.00", "at least 5: MISSED")
    assert Row("help", 160, "python", 16, "ms", Goal("at most", 150, of="figure")).cells()[-1] == (
        "at most 150 ms: MISSED"
    )
