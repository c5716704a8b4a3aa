"""Where anyio defines `connect_tcp`, which the package itself hands out only when it is first asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

#: Executed when something of it is first asked for. Asking `anyio` itself for the function imports 20 ms of ssl.
SOCKETS = "anyio._core._sockets"


def modules_with_connect_tcp(sockets: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules that hold the function: the one that defines it, and `anyio` once it has been asked for it."""
    for module in (sockets, sys.modules["anyio"]):
        if "connect_tcp" in vars(module):
            yield module
