"""Programs that stand in for an image where they are installed, each with its files in a folder of the project."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.hosting.images.postgres import postgres

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage

#: Where systems keep programs that they do not put on PATH.
_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/sbin",
)


@dataclass(frozen=True, slots=True)
class InstalledProgram:
    """name: of the executable. line: its shell command, made from its path."""

    name: str
    line: Callable[[WantedImage, str], str]

    def command(self, image: WantedImage) -> str | None:
        """Return the shell command, or None if the program is not installed."""
        found = installed(self.name)
        return None if found is None else self.line(image, found)


def installed(name: str) -> str | None:
    """Return the path of a program, on PATH or in one of the folders that systems keep it in."""
    if (found := shutil.which(name)) is not None:
        return found
    places = [place for folder in _FOLDERS for place in sorted(Path("/").glob(folder[1:]), reverse=True)]
    return shutil.which(name, path=os.pathsep.join(map(str, places)))


def _redis(image: WantedImage, program: str) -> str:
    own = _own_arguments(image.arguments, "redis-server", "valkey-server")
    words = [program, *own, "--port", _port(image), "--bind", "127.0.0.1", "--dir", str(image.data)]
    return _in_folder(image, words)


def _mongo(image: WantedImage, program: str) -> str:
    own = _own_arguments(image.arguments, "mongod")
    words = [program, *own, "--port", _port(image), "--bind_ip", "127.0.0.1", "--dbpath", str(image.data)]
    return _in_folder(image, words)


def _memcached(image: WantedImage, program: str) -> str:
    own = _own_arguments(image.arguments, "memcached")
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    return _in_folder(image, [program, *own, *user, "-l", "127.0.0.1", "-p", _port(image)])


def _minio(image: WantedImage, program: str) -> str:
    return _in_folder(image, [program, "server", str(image.data), "--address", f"127.0.0.1:{_port(image)}"])


def _port(image: WantedImage) -> str:
    return str(image.ports[0][0]) if image.ports else "0"


def _own_arguments(arguments: Sequence[str], *names: str) -> list[str]:
    """Return the arguments that follow the program's name, without files of the container."""
    given = list(arguments[1:] if arguments and arguments[0] in names else arguments)
    return [word for word in given if not word.startswith("/")]


def _in_folder(image: WantedImage, words: Sequence[str]) -> str:
    return f"umask 077; mkdir -p {shlex.quote(str(image.data))} && exec {shlex.join(words)}"


#: By the name of the image, without its version.
PROGRAMS = {
    "postgres": InstalledProgram("postgres", postgres),
    "redis": InstalledProgram("redis-server", _redis),
    "valkey/valkey": InstalledProgram("valkey-server", _redis),
    "mongo": InstalledProgram("mongod", _mongo),
    "memcached": InstalledProgram("memcached", _memcached),
    "minio/minio": InstalledProgram("minio", _minio),
}
