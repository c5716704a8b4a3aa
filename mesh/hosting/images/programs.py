"""Programs that stand in for an image where they are installed, each with its files in a folder of the project."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from mesh.hosting.images.installed import installed
from mesh.hosting.images.mysql import mysql
from mesh.hosting.images.nginx import nginx
from mesh.hosting.images.postgres import postgres
from mesh.hosting.images.rabbitmq import rabbitmq

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage


class InstalledProgram(Struct, frozen=True):
    """names: of executables, the first of which that is there is taken. line: its shell command, made from its path.

    lacks: what the image has and the program does not, said at its start.
    """

    names: tuple[str, ...]
    line: Callable[[WantedImage, str], str]
    lacks: str = ""

    def command(self, image: WantedImage) -> str | None:
        """Return the shell command, or None if the program is not installed."""
        found = next(filter(None, map(installed, self.names)), None)
        if found is None:
            return None
        told = f"{os.path.basename(found)} runs in the place of {image.name}, without its {self.lacks}"
        return (f"echo {shlex.quote(told)} >&2\n" if self.lacks else "") + self.line(image, found)


def _redis(image: WantedImage, program: str) -> str:
    own = _own_arguments(image.arguments, "redis-server", "valkey-server")
    words = [program, *own, "--port", str(image.port(6379)), "--bind", "127.0.0.1", "--dir", str(image.data)]
    return _in_folder(image, words)


def _mongo(image: WantedImage, program: str) -> str:
    own = _own_arguments(image.arguments, "mongod")
    words = [program, *own, "--port", str(image.port(27017)), "--bind_ip", "127.0.0.1", "--dbpath", str(image.data)]
    return _in_folder(image, words)


def _memcached(image: WantedImage, program: str) -> str:
    own = _own_arguments(image.arguments, "memcached")
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    return _in_folder(image, [program, *own, *user, "-l", "127.0.0.1", "-p", str(image.port(11211))])


def _minio(image: WantedImage, program: str) -> str:
    words = [program, "server", str(image.data), "--address", f"127.0.0.1:{image.port(9000)}"]
    pages = ["--console-address", f"127.0.0.1:{image.port(9001, 0)}"]
    return _in_folder(image, [*words, *pages])


def _mailpit(image: WantedImage, program: str) -> str:
    smtp, pages = image.port(1025, 0), image.port(8025, 0)
    return _in_folder(image, [program, "--smtp", f"127.0.0.1:{smtp}", "--listen", f"127.0.0.1:{pages}"])


def _own_arguments(arguments: Sequence[str], *names: str) -> list[str]:
    """Return the arguments that follow the program's name, without files of the container."""
    given = list(arguments[1:] if arguments and arguments[0] in names else arguments)
    return [word for word in given if not word.startswith("/")]


def _in_folder(image: WantedImage, words: Sequence[str]) -> str:
    return f"umask 077; mkdir -p {shlex.quote(str(image.data))} && exec {shlex.join(words)}"


#: By the name of the image, without its version.
PROGRAMS = {
    "postgres": InstalledProgram(("postgres",), postgres),
    "postgis/postgis": InstalledProgram(("postgres",), postgres, "extensions, unless they are installed too"),
    "mysql": InstalledProgram(("mysqld", "mariadbd"), mysql),
    "mariadb": InstalledProgram(("mariadbd", "mysqld"), mysql),
    "redis": InstalledProgram(("redis-server", "valkey-server"), _redis),
    "valkey/valkey": InstalledProgram(("valkey-server", "redis-server"), _redis),
    "redislabs/redismod": InstalledProgram(("redis-server",), _redis, "modules"),
    "redis/redis-stack-server": InstalledProgram(("redis-server",), _redis, "modules"),
    "redis/redis-stack": InstalledProgram(("redis-server",), _redis, "modules and pages"),
    "mongo": InstalledProgram(("mongod",), _mongo),
    "rabbitmq": InstalledProgram(("rabbitmq-server",), rabbitmq),
    "nginx": InstalledProgram(("nginx",), nginx),
    "memcached": InstalledProgram(("memcached",), _memcached),
    "minio/minio": InstalledProgram(("minio",), _minio),
    "axllent/mailpit": InstalledProgram(("mailpit",), _mailpit),
    "mailhog/mailhog": InstalledProgram(("mailpit",), _mailpit),
}
