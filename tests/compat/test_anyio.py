"""`connect_tcp` is defined in a module of its own, and `anyio` keeps it once it has been asked for."""

from __future__ import annotations

import subprocess
import sys

ASKED = """
import importlib, sys
import anyio
from mesh.compat.anyio import SOCKETS, modules_with_connect_tcp
before = SOCKETS in sys.modules
sockets = importlib.import_module(SOCKETS)
print(before, [each.__name__ for each in modules_with_connect_tcp(sockets)])
anyio.connect_tcp
print([each.__name__ for each in modules_with_connect_tcp(sockets)])
sockets.connect_tcp = 1
for each in modules_with_connect_tcp(sockets):
    each.connect_tcp = 2
print(anyio.connect_tcp)
"""


def test_the_function_is_found_wherever_it_is_kept() -> None:
    ran = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, timeout=60, check=True)
    before, after, replaced = ran.stdout.splitlines()
    assert before == "False ['anyio._core._sockets']"
    assert after == "['anyio._core._sockets', 'anyio']"
    assert replaced == "2"
