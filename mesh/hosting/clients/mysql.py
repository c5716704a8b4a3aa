"""Leads connections of mysqlclient to the actual address: its C library looks names up by itself."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from mesh.hosting.clients.postgres import Actual
from mesh.hosting.patches import Patches
from mesh.topology.model import LOOPBACK

_PORT = 3306
#: What may be given without its name, in this order; hardly anyone gives more than these.
_POSITIONAL = ("host", "user", "password", "database", "port")


def serve_mysqldb(connections: ModuleType, patches: Patches, actual: Actual) -> None:
    """Redirect the connections of `MySQLdb`. `localhost` stays: it means a Unix socket there."""
    real = connections.Connection.__init__

    @functools.wraps(real)
    def connect(own: Any, *args: Any, **options: Any) -> None:
        if len(args) <= len(_POSITIONAL):
            options |= dict(zip(_POSITIONAL, args, strict=False))
            args = ()
        host = options.get("host")
        if host and host != LOOPBACK and not options.get("unix_socket"):
            found, port = actual(host, options.get("port") or _PORT)
            options |= {"host": "127.0.0.1" if found == LOOPBACK else found, "port": int(port)}
        real(own, *args, **options)

    patches.replace(connections.Connection, "__init__", connect)
