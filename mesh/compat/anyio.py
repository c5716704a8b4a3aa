"""The module in which anyio defines `connect_tcp`, which the package itself imports only on first use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

#: Executed on first use. Using the function through `anyio` itself would import 20 ms of ssl.
SOCKETS = "anyio._core._sockets"


def modules_with_connect_tcp(sockets: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules that hold the function: the one that defines it, and `anyio` once it has imported it."""
    for module in (sockets, sys.modules["anyio"]):
        if "connect_tcp" in vars(module):
            yield module
