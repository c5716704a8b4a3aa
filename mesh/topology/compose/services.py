"""The services of a project, with the short and long forms of their keys read alike."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mesh.topology.compose.dockerfile import Command, Image, read_dockerfile
from mesh.topology.compose.ports import port_range, published
from mesh.topology.compose.project import Project
from mesh.topology.environment.interpolation import escaped
from mesh.topology.environment.variables import EnvFile

#: The conditions of `depends_on`.
COMPLETED = "service_completed_successfully"
HEALTHY = "service_healthy"
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class ComposeService(Struct, frozen=True):
    """One service of a Compose file.

    names: the host names under which the other services address it, its own first.
    context: the folder it is built from, or None if it runs an image of that name. image: what its Dockerfile makes,
    with the mounts of the service; its base is `image_name` if nothing is built.
    command: what the container starts; None if that is not known.
    grace: seconds that it gets to end; None for what is usual.
    published: host port and container port of each; host port 0 means any. ports: the same, or else those that are only
    exposed, to the other services.
    env: by name, with variables yet to be replaced; unset: those whose values come from outside the file.
    depends_on: by name, the condition.
    health: the command that tells whether it is ready, as words; empty without one. watched: places on this machine
    whose changes Compose would bring into the container.
    """

    name: str
    names: tuple[str, ...]
    context: Path | None
    image_name: str
    image: Image
    command: Command | None
    published: tuple[tuple[int, int], ...]
    ports: tuple[tuple[int, int], ...]
    env: Mapping[str, str]
    unset: tuple[str, ...]
    env_files: tuple[EnvFile, ...]
    depends_on: Mapping[str, str]
    profiles: tuple[str, ...]
    health: tuple[str, ...]
    volumes: tuple[str, ...]
    watched: tuple[Path, ...]
    grace: float | None


def services_of(project: Project) -> list[ComposeService]:
    """Return the services of a project, in the order of the file."""
    links: dict[str, list[str]] = {}
    for table in project.services.values():
        for link in each(table.get("links")):
            target, _, alias = link.partition(":")
            links.setdefault(target, []).append(alias or target)
    # An image that one service builds under a name, others run by that name.
    built = {
        table["image"]: table["build"] for table in project.services.values() if {"image", "build"} <= table.keys()
    }
    return [
        _service(project, name, {"build": built.get(table.get("image")), **table}, links.get(name, []))
        for name, table in project.services.items()
    ]


def _service(project: Project, name: str, table: Mapping[str, Any], links: Sequence[str]) -> ComposeService:
    context = _context(table.get("build"))
    image = _image(context, table, project)
    env = {key: value for key, value in variables(table.get("environment")) if key}
    env = {key: _taken(project, key) if value is None else value for key, value in env.items()}
    open_ports = tuple(published(table.get("ports")))
    exposed = tuple((0, port) for port in _tcp([*each(table.get("expose")), *image.ports]))
    return ComposeService(
        name,
        tuple(dict.fromkeys((name, *_names(table), *links))),
        context,
        str(table.get("image") or ""),
        image,
        _command(image, table),
        open_ports,
        open_ports or exposed,
        {key: escaped(value) for key, value in image.env.items() if key not in ("PATH", "VIRTUAL_ENV")}
        | {key: value for key, value in env.items() if value is not None},
        tuple(key for key, value in env.items() if value is None),
        tuple(_env_files(table.get("env_file"), project.folder)),
        dict(_depends_on(table.get("depends_on"))),
        _profiles(project, table),
        _health(table.get("healthcheck")),
        tuple(_volumes(table.get("volumes"))),
        tuple(_watched(table.get("develop"), project.folder)),
        _duration(table.get("stop_grace_period")),
    )


def _taken(project: Project, name: str) -> str | None:
    """Return the value of a variable that is named without one, as mesh.toml writes it; None if it has none."""
    value = project.variables.value(name)
    if not value or not project.variables.is_foreign(name):
        return value and f"${{{name}}}"
    project.written_out.add(name)
    return escaped(value)


def each(value: Any) -> Iterator[str]:
    """Yield the items of a list or the keys of a table."""
    yield from map(str, value if isinstance(value, list | dict) else ())


def variables(value: Any) -> Iterator[tuple[str, str | None]]:
    """Return variables from a table or from a list of NAME=value; None for those without a value."""
    if isinstance(value, dict):
        yield from ((str(key), None if item is None else str(item)) for key, item in value.items())
    for item in value if isinstance(value, list) else ():
        key, equals, text = str(item).partition("=")
        yield key, text if equals else None


def _profiles(project: Project, table: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the service's profiles; none if COMPOSE_PROFILES asks for one of them."""
    wanted = (project.variables.value("COMPOSE_PROFILES") or "").split(",")
    found = tuple(each(table.get("profiles")))
    return () if "*" in wanted or set(found) & set(wanted) else found


def words_of(command: Command) -> list[str]:
    """Return the words of a command line; those of one for a shell as far as it needs none."""
    if not isinstance(command, str):
        return list(command)
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _context(build: Any) -> Path | None:
    context = build.get("context") if isinstance(build, dict) else None
    return Path(context) if context and "://" not in context and not context.startswith("git@") else None


def _image(context: Path | None, table: Mapping[str, Any], project: Project) -> Image:
    """Return what the service's Dockerfile makes, with its mounts over it; an image of that name without one."""
    build = table.get("build") or {}
    image = Image(base=str(table.get("image") or ""))
    if context is not None:
        file = context / str(build.get("dockerfile") or "Dockerfile")
        args = {key: value or "" for key, value in variables(build.get("args"))}
        try:
            image = read_dockerfile(file, context, build.get("target"), args)
        except OSError:
            image = Image(copies=(("/", context),))
    mounts = tuple((inside, Path(place)) for place, inside in map(_mount, _volumes(table.get("volumes"))) if inside)
    folder = str(table.get("working_dir") or image.folder)
    here = tuple(mount for mount in mounts if mount[1].is_absolute() and mount[1].exists())
    return replace(image, folder=folder, copies=(*image.copies, *here))


def _mount(volume: str) -> tuple[str, str]:
    place, _, inside = volume.partition(":")
    return place, inside.partition(":")[0]


def _volumes(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield f"{item.get('source') or ''}:{item.get('target') or ''}"
        else:
            yield str(item)


def _command(image: Image, table: Mapping[str, Any]) -> Command | None:
    """Return what the container starts: the entry point, followed by the command if it takes one."""
    own = table.get("entrypoint")
    entrypoint = image.entrypoint if own is None else own
    # As Docker does it: an entry point of the service takes the image's command away.
    command = table.get("command", None if own is not None else image.command)
    if isinstance(table.get("command"), str):
        command = words_of(table["command"])  # a shell has no part in it
    if isinstance(own, str):
        entrypoint = words_of(own)
    if command is None or entrypoint in (None, "", []):
        return (entrypoint or command) or None
    if isinstance(entrypoint, str):
        return entrypoint  # a shell's entry point takes no arguments
    return [*words_of(entrypoint), *words_of(command)]


def _tcp(texts: Sequence[str]) -> Iterator[int]:
    for text in dict.fromkeys(texts):
        if not text.endswith("/udp"):
            yield from port_range(text.split("/")[0])


def _names(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield further host names: the container's, and those in its networks."""
    for key in ("container_name", "hostname"):
        if table.get(key):
            yield str(table[key])
    networks = table.get("networks")
    for network in networks.values() if isinstance(networks, dict) else ():
        if isinstance(network, dict):
            yield from each(network.get("aliases"))


def _env_files(value: Any, folder: Path) -> Iterator[EnvFile]:
    for item in value if isinstance(value, list) else ():
        path, required = (item.get("path"), item.get("required", "true")) if isinstance(item, dict) else (item, "true")
        yield EnvFile(str(path), str(required).lower() not in ("false", "no", "off"))


def _depends_on(value: Any) -> Iterator[tuple[str, str]]:
    for name in each(value):
        how = value.get(name) if isinstance(value, dict) else None
        yield (
            name,
            str((how or {}).get("condition") or "service_started") if isinstance(how, dict) else "service_started",
        )


def _watched(develop: Any, folder: Path) -> Iterator[Path]:
    for item in (develop.get("watch") or ()) if isinstance(develop, dict) else ():
        if isinstance(item, dict) and item.get("path"):
            yield folder / str(item["path"])


def _duration(value: Any) -> float | None:
    """Return a duration as Compose writes it, `1m30s` or `500ms`, in seconds; None for anything else."""
    found = re.fullmatch(r"(?:\d+(?:us|ms|s|m|h))+", str(value))
    parts = re.findall(r"(\d+)(us|ms|s|m|h)", str(value)) if found else []
    return sum(int(number) * _SECONDS[unit] for number, unit in parts) if parts else None


def _health(value: Any) -> tuple[str, ...]:
    test = value.get("test") if isinstance(value, dict) else None
    if isinstance(test, str):
        return tuple(words_of(test))
    words = list(each(test))
    if words[:1] == ["CMD-SHELL"]:
        return tuple(words_of(" ".join(words[1:])))
    return tuple(words[1:]) if words[:1] == ["CMD"] else ()
