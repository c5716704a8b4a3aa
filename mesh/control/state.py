"""The running meshes of a project: a file for each under `.mesh/run/`, where other commands find them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from mesh.state_folder import state_folder, writing
from mesh.topology.model import Topology

if TYPE_CHECKING:
    import psutil


class Running(Struct, frozen=True):
    """A running mesh. url: where its control API listens. parts: what it runs, as `parts_of` names it."""

    pid: int
    url: str
    token: str
    parts: tuple[str, ...]

    @property
    def services(self) -> tuple[str, ...]:
        """Return the names of the services that it runs, wholly or in part."""
        return _services(self.parts)

    def sharing(self, parts: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the services that have a part among these."""
        return _services(part for part in self.parts if part in parts)


def parts_of(topology: Topology) -> tuple[str, ...]:
    """Return what only one mesh of a project can run: each listener, and each service without listeners."""
    silent = [service.name for service in topology if not service.listeners]
    return (*topology.listener_names(), *silent)


def _services(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(re.sub(r"\.(http|grpc)$", "", part) for part in parts))


@contextlib.contextmanager
def starting(project: Path) -> Iterator[None]:
    """Hold the project's start lock, which the system releases however this mesh ends."""
    folder = state_folder(project)
    with writing(folder):
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def write(project: Path, running: Running) -> Path:
    """Write the record of a running mesh, readable for its user alone, and complete as soon as it can be found."""
    path = state_folder(project) / "run" / f"{running.pid}.json"
    new = path.with_suffix(".new")
    with writing(path.parent):
        new.unlink(missing_ok=True)
        # Exclusively: an existing file of this name, above all a link, is not written through.
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(running), file)
        new.replace(path)
    return path


def project_of(pid: int) -> Path | None:
    """Return the project whose mesh, or child of one, this process of the same user is, or None."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        for each in (process, *process.parents()):
            for project in _projects(each):
                if (project / ".mesh" / "run" / f"{each.pid}.json").is_file():
                    return project
    return None


def _projects(process: psutil.Process) -> Iterator[Path]:
    """Yield the folders that a mesh may run for: where it was started, that of a file named to it, and those above."""
    started_in = Path(process.cwd())
    named = (started_in / word for word in process.cmdline()[1:])
    for folder in (started_in, *(path.parent for path in named if path.is_file())):
        yield from (folder, *folder.parents)


def noted(project: Path) -> list[tuple[Path, Running]]:
    """Return every recorded mesh of the project, alive or not, oldest first; invalid files are left out."""
    found = []
    for path in (project / ".mesh" / "run").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            fields = json.loads(path.read_text())
            running = Running(fields["pid"], fields["url"], fields["token"], tuple(fields["parts"]))
            found.append((path.stat().st_mtime_ns, path, running))
    return [(path, running) for _, path, running in sorted(found, key=lambda each: each[:2])]
