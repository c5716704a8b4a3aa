"""Help is at hand at once, whatever the project looks like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = [
    "grpc",
    "uvicorn",
    "starlette",
    "google.protobuf",
    "aiohttp",
    "requests",
    "mesh.runtime",
    "mesh.topology.loading",
]
IMPORTED = f"""
import atexit, sys
sys.argv = ["mesh", *sys.argv[1:]]
atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules]))
from mesh.commands import main
main()
"""


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"], ["up", "--help"], ["call", "--help"]])
def test_help_reads_no_declaration_and_imports_nothing_that_takes_long(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "mesh.toml").write_text("this is no TOML")
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert list(tmp_path.iterdir()) == [tmp_path / "mesh.toml"]
