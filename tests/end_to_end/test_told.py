"""`mesh up` says what it does while it runs: stops, starts, and what an edit of mesh.toml changes."""

from __future__ import annotations

import re
from signal import SIGINT

from tests.support.ports import free_row
from tests.support.programs import Shell
from tests.support.supervised import ECHO

DECLARED = """
    [services.one]
    http = {{ port = {one}, app = "echo:app" }}

    [services.two]
    http = {{ port = {two}, app = "echo:app" }}
    """


def said(line: str) -> str:
    """Return the line without clock and time."""
    return re.sub(r"in \d+(\.\d+)? m?s\b", "in TIME", re.sub(r"^\d\d:\d\d:\d\d ", "", line.rstrip()))


def test_a_stop_a_start_and_an_edit_of_the_declaration_are_told(shell: Shell) -> None:
    base = free_row(4)
    shell.write({"mesh.toml": DECLARED.format(one=base, two=base + 1), "echo.py": ECHO})
    mesh = shell.start("up")
    mesh.line(f"two  http://127.0.0.1:{base + 1}")
    began = len(mesh.out)
    assert shell.run("stop", "one").process.returncode == 0
    assert shell.run("start", "one").process.returncode == 0
    mesh.line("one  ready in")
    edited = DECLARED.replace("services.one", "services.three").format(one=base + 2, two=base + 3)
    shell.write({"mesh.toml": edited})
    mesh.line("three  ready in")
    mesh.line("two  ready in")
    mesh.line("one  removed")
    told = [said(line) for line in list(mesh.out[began:])]
    assert {
        "one  stopping",
        "one  stopped",
        f"one  ready in TIME  http://127.0.0.1:{base}",
        "one  removed: it is no longer declared",
        f"two  moved: http {base + 1} -> http {base + 3}",
        "three  added: it is declared now",
        f"two  ready in TIME  http://127.0.0.1:{base + 3}",
        f"three  ready in TIME  http://127.0.0.1:{base + 2}",
    } <= set(told)
    assert mesh.end(SIGINT) == 130
