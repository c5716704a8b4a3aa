"""A client of the control API of a project's running meshes."""

from __future__ import annotations

import errno
import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mesh.control.state import Running, noted
from mesh.errors import MeshError
from mesh.sockets import LocalConnection
from mesh.topology.model import Address, Kind

#: Seconds that a mesh gets to answer.
ANSWER_WITHIN = 2.0


class SilentError(MeshError):
    """Raised if a program listens on the port of a mesh but does not answer."""


def alive(project: Path) -> list[Running]:
    """Return the meshes of the project that answer to their token; delete the records of those that are gone.

    A pid does not identify a mesh, since the system may have given it to another program. Raises MeshError for a mesh
    that accepts a request but does not answer it: one suspended with Ctrl-Z is not gone.
    """
    found = []
    for path, running in noted(project):
        try:
            ask(running, "GET", "/api/state", timeout=ANSWER_WITHIN)
            found.append(running)
        except SilentError:
            if exists(running.pid):
                raise
            path.unlink(missing_ok=True)
        except MeshError:
            path.unlink(missing_ok=True)
    return found


def running_services(project: Path) -> Iterator[dict[str, Any]]:
    """Yield the state of each service of the project's running meshes, as `/api/state` gives it."""
    for running in alive(project):
        yield from ask(running, "GET", "/api/state")["services"]


def address_in(state: dict[str, Any], kind: Kind) -> Address | None:
    """Return the first address of the service's listener; None if it has none of that kind."""
    return next(iter(addresses_in(state, kind)), None)


def addresses_in(state: dict[str, Any], kind: Kind) -> tuple[Address, ...]:
    """Return the addresses of the service's listener; nothing if it has none of that kind."""
    found = [state[kind]] if kind == "grpc" and state[kind] else state[kind] or ()
    return tuple(Address.parse(urlsplit(each).netloc if kind == "http" else each) for each in found)


def ask(running: Running, method: str, path: str, timeout: float = 5.0) -> Any:
    """Return the JSON of one response; raises MeshError if the request is refused or not answered."""
    address = urlsplit(running.url)
    connection = LocalConnection(address.hostname or "", address.port or 0, timeout)
    try:
        connection.request(method, path, headers={"authorization": f"Bearer {running.token}"})
        with connection.getresponse() as response:
            body = json.loads(response.read())
    except TimeoutError as error:
        raise SilentError(
            f"the mesh with pid {running.pid} ({running.url}) does not answer; if it is suspended, resume it with "
            f"`fg`; if C code holds the GIL, end it with `kill {running.pid}`"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise MeshError(f"the mesh at {running.url} does not answer: {error}") from error
    finally:
        connection.close()
    if response.status >= 400:
        raise MeshError(f"the mesh at {running.url} refused {path}: {body.get('message')}")
    return body


def exists(pid: int) -> bool:
    """True if some process has this pid."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True
