"""`make coverage` counts what runs in other processes, also in those that end by os._exit()."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import coverage

ROOT = Path(__file__).parents[1]
PROCESS = "import os, mesh.errors; os._exit(0)"
PROGRAM = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {PROCESS!r}], check=True)\n"


def test_a_process_that_a_measured_one_starts_is_counted_though_it_ends_at_once(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    data = tmp_path / ".coverage"
    options = ["--rcfile", str(ROOT / "pyproject.toml"), "--data-file", str(data)]
    subprocess.run([sys.executable, "-m", "coverage", "run", *options, str(program)], cwd=ROOT, check=True)
    combined = coverage.Coverage(data_file=str(data), config_file=str(ROOT / "pyproject.toml"))
    combined.combine([str(tmp_path)])
    assert combined.get_data().lines(str(ROOT / "mesh" / "errors.py"))
