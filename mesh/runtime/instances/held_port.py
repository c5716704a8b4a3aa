"""Tells that a port which an edit's code wants is held by the code before the edit."""

from __future__ import annotations

import errno
import os
import re

from mesh.runtime.instances.port_owner import port_owner


def held_by_old_code(error: BaseException | None) -> str:
    """Return what to add to the reason of a reload that failed with this exception; empty if no such port is behind it.

    The port is the one that `bind` was refused, as mesh or asyncio noted it.
    """
    while error is not None and not (isinstance(error, OSError) and error.errno == errno.EADDRINUSE):
        error = error.__cause__ or error.__context__
    if error is None:
        return ""
    noted = re.search(r"bind on address \('[^']*', (\d+)", str(error))
    port = getattr(error, "mesh_port", None) or (int(noted[1]) if noted else None)
    owner = port_owner(port) if port else None
    if owner is None or owner.pid != os.getpid():
        return ""
    return (
        f"; port {port} is held by the code before the edit: keep what binds it in mesh.state, from which the next "
        'code takes it, or give the service isolation = "process"'
    )
