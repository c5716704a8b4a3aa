"""Services of a Compose file that are run as images: their names, ports and mounts."""

from __future__ import annotations

import re
from pathlib import Path

from mesh.topology.compose.services import ComposeService, words_of
from mesh.topology.drafting.files import relative

#: The ports at which well-known images listen, for those that publish none.
_USUAL_PORTS = {"postgres": 5432, "postgis": 5432, "redis": 6379, "valkey": 6379, "mongo": 27017, "mysql": 3306} | {
    "mariadb": 3306,
    "rabbitmq": 5672,
    "memcached": 11211,
    "elasticsearch": 9200,
    "minio": 9000,
    "kafka": 9092,
    "nats": 4222,
}
#: Whose scripts the images of databases run once, on an empty database.
_FIRST_SCRIPTS = "/docker-entrypoint-initdb.d"
#: Of these images, as far as files are copied there.
_FOLDERS = (
    _FIRST_SCRIPTS,
    "/etc/nginx",
    "/etc/nginx/conf.d",
    "/usr/share/nginx/html",
    "/etc/caddy",
    "/usr/share/caddy",
)
#: Of which nginx's image makes its configuration by a script.
_TEMPLATES = "/etc/nginx/templates"
_SERVERS = ("nginx", "caddy")
#: The server that nginx's image has, and what removes it.
_DEFAULT = "/etc/nginx/conf.d/default.conf"
_REMOVES = re.compile(r"\brm\s[^&;|]*/etc/nginx/conf\.d/(?:default\.conf|\*)")
#: What ADD takes apart.
_ARCHIVES = frozenset({".tar", ".gz", ".tgz", ".xz", ".bz2"})


def is_image(service: ComposeService) -> bool:
    return bool(image_name(service))


def image_name(service: ComposeService) -> str:
    """Return the image that is run as it is, or with a few files more, such as a database's first scripts."""
    if service.context is None:
        return service.image_name
    base = service.image.base
    return base if _plain_name(base) in _USUAL_PORTS or _is_configured_server(service) else ""


def _is_configured_server(service: ComposeService) -> bool:
    """Return whether nginx's or Caddy's image is built with nothing but files of this machine, and run as it is."""
    image, words = service.image, [] if service.command is None else words_of(service.command)
    is_usual = image.base.partition(":")[0] in _SERVERS and (not words or words[0] in _SERVERS)
    is_plain = all(place.exists() and place.suffix not in _ARCHIVES for _, place in image.copies)
    by_scripts = any(to.startswith(_TEMPLATES) for to, _ in image.copies)
    return is_usual and is_plain and not image.takes_built and not by_scripts


def image_ports(service: ComposeService) -> list[tuple[int, int]]:
    """Return the ports of an image: those that are published, and the one at which others reach a well-known one."""
    published = [pair for pair in service.ports if pair[0]]
    port = _usual_port(image_name(service))
    is_named = port is None or any(inside == port for _, inside in published)
    return published if is_named else [(0, port or 0), *published]


def copied(service: ComposeService) -> list[str]:
    """Return the mounts that stand for what is copied into an image when it is built."""
    if service.context is None:
        return []
    mounted = {volume.split(":")[1] for volume in service.volumes if ":" in volume}
    # Copied into a folder of the base image, a file keeps its name.
    places = [
        (f"{inside}/{place.name}" if inside in _FOLDERS and place.is_file() else inside, place)
        for inside, place in service.image.copies
    ]
    mounts = [f"{place}:{inside}" for inside, place in places if inside not in mounted]
    removes = any(_REMOVES.search(run) for run in service.image.runs)
    taken = {*mounted, *(inside for inside, _ in places)}
    return [*mounts, *([f"/dev/null:{_DEFAULT}"] if removes and _DEFAULT not in taken else [])]


def volume_here(volume: str, folder: Path) -> str:
    """Return a mount with the place on this machine relative to mesh.toml."""
    source, colon, rest = volume.partition(":")
    if not source.startswith("/") or not Path(source).is_relative_to(folder):
        return volume
    return f"./{relative(Path(source), folder)}{colon}{rest}"


def _usual_port(image: str) -> int | None:
    return next((port for word, port in _USUAL_PORTS.items() if word in _plain_name(image)), None)


def _plain_name(image: str) -> str:
    """Return the name without its registry, owner and version."""
    return image.rpartition("/")[2].partition(":")[0]
