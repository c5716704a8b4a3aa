"""Speaks to the running meshes of a project through their control API, and to nothing else."""

from __future__ import annotations

import errno
import http.client
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mesh.control.state import Running, noted
from mesh.errors import MeshError
from mesh.sockets import LocalConnection

#: Seconds that a mesh gets to say that it is there.
ANSWER_WITHIN = 2.0


class SilentError(MeshError):
    """Somebody listens where the mesh should, and says nothing."""


def alive(project: Path) -> list[Running]:
    """The meshes of the project that answer to their token. Notes of those that are gone are cleared away.

    A process is never taken for a mesh by its pid: that may be another program's by now. Raises MeshError for a mesh
    that takes a question and does not answer it: one suspended with Ctrl-Z is not gone.
    """
    found = []
    for path, running in noted(project):
        try:
            ask(running, "GET", "/api/state", timeout=ANSWER_WITHIN)
            found.append(running)
        except SilentError:
            if _exists(running.pid):
                raise
            path.unlink(missing_ok=True)
        except MeshError:
            path.unlink(missing_ok=True)
    return found


def ask(running: Running, method: str, path: str, timeout: float = 5.0) -> Any:
    """The JSON of one request; MeshError where it is refused or not answered."""
    address = urlsplit(running.url)
    connection = LocalConnection(address.hostname or "", address.port or 0, timeout)
    try:
        connection.request(method, path, headers={"authorization": f"Bearer {running.token}"})
        with connection.getresponse() as response:
            body = json.loads(response.read())
    except TimeoutError as error:
        raise SilentError(
            f"the mesh with pid {running.pid} ({running.url}) does not answer; if it is suspended, `fg` wakes it"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise MeshError(f"the mesh at {running.url} does not answer: {error}") from error
    finally:
        connection.close()
    if response.status >= 400:
        raise MeshError(f"the mesh at {running.url} refused {path}: {body.get('message')}")
    return body


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True
