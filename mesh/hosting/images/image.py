"""The shell command that runs an image on this machine."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from mesh.errors import MeshError
from mesh.hosting.child_names import Names
from mesh.hosting.images import containers
from mesh.hosting.images.programs import PROGRAMS


class WantedImage(Struct, frozen=True):
    """An image to run, and what it gets.

    ports: the port on this machine and the one in the container, of each. arguments: what follows the image.
    volumes: as Compose writes them, with absolute paths. data: where its files are kept if no container keeps them.
    names: those of the other services, and where they are.
    """

    project: str
    service: str
    name: str
    ports: Sequence[tuple[int, int]]
    arguments: Sequence[str]
    env: Sequence[str]
    volumes: Sequence[str]
    data: Path
    names: Names = field(default_factory=dict)

    @property
    def base(self) -> str:
        """Return the image's name without its registry and version: `postgres` of `docker.io/library/postgres:16`."""
        name = re.sub(r"@.*|:[^/]*$", "", self.name)
        name = re.sub(r"^(?:[\w-]+[.:][^/]*/)?(?:docker/)?(?:library/)?", "", name)
        return re.sub(r"^bitnami(?:legacy|secure)/", "bitnami/", name)

    def port(self, inside: int, default: int | None = None) -> int:
        """Return the port on this machine of one in the container.

        default: of one that is not published; None for the first that is, or 0 without any.
        """
        first = self.ports[0][0] if self.ports else 0
        other = first if default is None else default
        return next((here for here, there in self.ports if there == inside), other)

    def server_port(self, inside: int) -> int:
        """Return the port here of a server in the container; unpublished below 1024, it is 8000 more."""
        return self.port(inside, inside if inside >= 1024 else 8000 + inside)


def stop_signal(image: str) -> signal.Signals:
    """Return what asks the image's program to end, as its image declares it.

    Upon SIGTERM, PostgreSQL would wait for its clients to leave, and connection pools do not.
    """
    return signal.SIGINT if "postg" in image else signal.SIGTERM


def command_of(image: WantedImage) -> str:
    """Return the shell command that runs the image until it is told to stop.

    A container engine that answers comes first. Raises MeshError, with the ways out, if there is none and mesh knows no
    installed program for the image.
    """
    if (engine := containers.engine()) is not None:
        return containers.command(engine, image)
    program = PROGRAMS.get(image.base)
    if program is None:
        raise MeshError(f"no docker or podman runs here, and mesh knows no program for {image.name}; {_ways(image)}")
    found = program.command(image)
    if found is None:
        raise MeshError(
            f"no docker or podman runs here, and {' or '.join(program.names)} is not installed; {_ways(image)}"
        )
    return found


def _ways(image: WantedImage) -> str:
    inside = image.ports[0][1] if image.ports else 0
    outside = f'[externals] "{image.service}:{inside}" = "host:port"'
    return f"start docker, or leave it out by --except {image.service} and say where it is by {outside}"
