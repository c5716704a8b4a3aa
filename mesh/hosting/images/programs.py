"""Programs that stand in for an image where they are installed, each with its files in a folder of the project."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from mesh.hosting.images.caddy import caddy
from mesh.hosting.images.installed import installed
from mesh.hosting.images.mysql import mysql
from mesh.hosting.images.nginx import nginx
from mesh.hosting.images.pgadmin import VARIABLES, pgadmin
from mesh.hosting.images.postgres import postgres
from mesh.hosting.images.rabbitmq import rabbitmq

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage


class InstalledProgram(Struct, frozen=True):
    """names: of executables, the first of which that is there is taken. line: its shell command, made from its path.

    lacks: what the image has and the program does not, said at its start. variables: those that the line reads, with
    what the image calls them, as a shell has it after `$`.
    """

    names: tuple[str, ...]
    line: Callable[[WantedImage, str], str]
    lacks: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(self, image: WantedImage) -> str | None:
        """Return the shell command, or None if the program is not installed."""
        found = next(filter(None, map(installed, self.names)), None)
        if found is None:
            return None
        told = f"{os.path.basename(found)} runs in the place of {image.name}, without its {self.lacks}"
        lines = [f"echo {shlex.quote(told)} >&2"] if self.lacks else []
        lines += [f'export {name}="${{{name}:-${other}}}"' for name, other in self.variables.items()]
        return "\n".join([*lines, self.line(image, found)])


#: Makes a line of Redis's configuration, if there is a password.
_PASSWORD = r"""escaped=$(printf %s "$REDIS_PASSWORD" | sed 's/[\\"]/\\&/g') line=
[ -z "$escaped" ] || line="requirepass \"$escaped\""
"""


def _redis(image: WantedImage, program: str) -> str:
    own = _own_arguments(image.arguments, "redis-server", "valkey-server")
    words = [program, *own, "--port", str(image.port(6379)), "--bind", "127.0.0.1", "--dir", str(image.data)]
    if not image.base.startswith("bitnami/"):
        return _in_folder(image, words)
    # By its input, which no list of processes shows.
    return f"{_PASSWORD}\n{_in_folder(image, [*words, '-'])} <<END\n$line\nEND\n"


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


_POSTGRES_WITH_MORE = ("postgis/postgis", "pgvector/pgvector", "ankane/pgvector", "timescale/timescaledb")
_EXTENSIONS = "extensions, unless they are installed too"
_BITNAMI_POSTGRES = {
    "POSTGRES_USER": "POSTGRESQL_USERNAME",
    "POSTGRES_PASSWORD": "POSTGRESQL_PASSWORD",
    "POSTGRES_DB": "POSTGRESQL_DATABASE",
}
_BITNAMI_RABBITMQ = {
    "RABBITMQ_DEFAULT_USER": "{RABBITMQ_USERNAME:-user}",
    "RABBITMQ_DEFAULT_PASS": "{RABBITMQ_PASSWORD:-bitnami}",
    "RABBITMQ_DEFAULT_VHOST": "{RABBITMQ_VHOST:-/}",
}

_MYSQL = InstalledProgram(("mysqld", "mariadbd"), mysql)
_MARIADB = InstalledProgram(("mariadbd", "mysqld"), mysql)
_REDIS = InstalledProgram(("redis-server", "valkey-server"), _redis)
_VALKEY = ("valkey-server", "redis-server")

#: By the name of the image, without its version.
PROGRAMS = {
    "postgres": InstalledProgram(("postgres",), postgres),
    "bitnami/postgresql": InstalledProgram(("postgres",), postgres, variables=_BITNAMI_POSTGRES),
    **dict.fromkeys(_POSTGRES_WITH_MORE, InstalledProgram(("postgres",), postgres, _EXTENSIONS)),
    **dict.fromkeys(("mysql", "bitnami/mysql", "mysql/mysql-server"), _MYSQL),
    **dict.fromkeys(("mariadb", "bitnami/mariadb"), _MARIADB),
    **dict.fromkeys(("redis", "bitnami/redis"), _REDIS),
    "valkey/valkey": InstalledProgram(_VALKEY, _redis),
    "bitnami/valkey": InstalledProgram(_VALKEY, _redis, variables={"REDIS_PASSWORD": "VALKEY_PASSWORD"}),
    "redislabs/redismod": InstalledProgram(("redis-server",), _redis, "modules"),
    "redis/redis-stack-server": InstalledProgram(("redis-server",), _redis, "modules"),
    "redis/redis-stack": InstalledProgram(("redis-server",), _redis, "modules and pages"),
    "mongo": InstalledProgram(("mongod",), _mongo),
    "rabbitmq": InstalledProgram(("rabbitmq-server",), rabbitmq),
    "bitnami/rabbitmq": InstalledProgram(("rabbitmq-server",), rabbitmq, variables=_BITNAMI_RABBITMQ),
    "caddy": InstalledProgram(("caddy",), caddy),
    "nginx": InstalledProgram(("nginx",), nginx),
    "memcached": InstalledProgram(("memcached",), _memcached),
    "dpage/pgadmin4": InstalledProgram(("pgadmin4",), pgadmin, "servers.json", VARIABLES),
    "minio/minio": InstalledProgram(("minio",), _minio),
    "axllent/mailpit": InstalledProgram(("mailpit",), _mailpit),
    "mailhog/mailhog": InstalledProgram(("mailpit",), _mailpit),
}
