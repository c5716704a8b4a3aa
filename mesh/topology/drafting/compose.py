"""The services of a Compose file, with its short and long forms read alike."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.errors import UsageError
from mesh.topology.drafting.compose_values import each, port_range, ports, resolved, variables, with_defaults

FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


@dataclass(frozen=True, slots=True)
class ComposeService:
    """One service of a Compose file.

    names: the host names under which the other services address it, its own first.
    build: the folder it is built from, or None if it runs an image.
    command: as a shell would read it; the Dockerfile's if the file gives none.
    ports: host port and container port of each; host port 0 means any.
    unset: variables whose values come from outside the file.
    depends_on_end_of: those of `depends_on` that must have ended with status 0, as migrations do.
    """

    name: str
    names: tuple[str, ...]
    build: Path | None
    image: str
    command: str | None
    ports: tuple[tuple[int, int], ...]
    env: Mapping[str, str]
    unset: tuple[str, ...]
    env_file: bool
    depends_on: tuple[str, ...]
    depends_on_end_of: tuple[str, ...] = ()


def read_compose(file: Path) -> tuple[str, list[ComposeService]]:
    """Return the project's name and the services of a Compose file.

    `${NAME:-default}` becomes its default; a value with a variable without one counts as unset. Raises UsageError
    for a file that is not a Compose file, and if PyYAML is not installed.
    """
    content = _parsed(file)
    services = content.get("services") if isinstance(content, dict) else None
    if not isinstance(services, dict):
        raise UsageError(f"{file.name}: it has no table of services")
    name = str(content.get("name") or file.parent.name or "mesh")
    return name, [_service(file.parent, str(key), table) for key, table in services.items() if isinstance(table, dict)]


def _parsed(file: Path) -> Any:
    """Return the file's content with scalars as strings: YAML 1.1 would read `22:22` as a base-60 number."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise UsageError(f"reading {file.name} needs PyYAML; install it with: python -m pip install pyyaml") from None

    class Texts(yaml.SafeLoader):
        """A separate subclass, so that PyYAML's loader stays unchanged."""

    Texts.yaml_implicit_resolvers = {
        start: [pair for pair in resolvers if pair[0].endswith((":null", ":merge"))]
        for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(file.read_text("utf-8-sig"), Texts)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageError(f"{file.name}{place}: {error.problem}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{file.name} cannot be read: {error}") from None


def _service(folder: Path, name: str, table: Mapping[str, Any]) -> ComposeService:
    build = _build(folder, table.get("build"))
    dockerfile = _dockerfile(build, table.get("build"))
    env = {key: value for key, value in variables(table.get("environment")) if key}
    pairs = tuple(ports(table.get("ports"))) or tuple(
        (port, port) for port in _exposed(table.get("expose"), dockerfile)
    )
    return ComposeService(
        name,
        tuple(dict.fromkeys((name, *_names(table)))),
        build,
        str(table.get("image") or ""),
        _command(table.get("command")) or _command(table.get("entrypoint")) or _docker_command(dockerfile),
        pairs,
        {key: value for key, value in env.items() if value is not None},
        tuple(key for key, value in env.items() if value is None),
        "env_file" in table,
        tuple(each(table.get("depends_on"))),
        tuple(_ending(table.get("depends_on"))),
    )


def _ending(depends_on: Any) -> Iterator[str]:
    for name, how in depends_on.items() if isinstance(depends_on, dict) else ():
        if isinstance(how, dict) and how.get("condition") == "service_completed_successfully":
            yield str(name)


def _exposed(value: Any, dockerfile: str) -> Iterable[int]:
    texts = list(each(value))
    texts += [text for line in re.findall(r"(?im)^EXPOSE (.+)$", dockerfile) for text in line.split()]
    return dict.fromkeys(port for text in texts if not text.endswith("/udp") for port in port_range(text.split("/")[0]))


def _names(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield further host names: the container's, and those in its networks."""
    if name := resolved(table.get("container_name")):
        yield name
    networks = table.get("networks")
    for network in networks.values() if isinstance(networks, dict) else ():
        if isinstance(network, dict):
            yield from each(network.get("aliases"))


def _build(folder: Path, value: Any) -> Path | None:
    context = resolved(value.get("context", ".") if isinstance(value, dict) else value)
    return None if context is None else folder / context


def _dockerfile(build: Path | None, value: Any) -> str:
    """Return the text of the service's Dockerfile, or "" if it cannot be read."""
    name = str(value.get("dockerfile", "Dockerfile")) if isinstance(value, dict) else "Dockerfile"
    try:
        return (build / name).read_text("utf-8", "replace").replace("\\\n", " ") if build else ""
    except OSError:
        return ""


def _command(value: Any) -> str | None:
    if isinstance(value, list):
        return shlex.join(with_defaults(word) for word in value)
    return None if value is None else with_defaults(value)


def _docker_command(dockerfile: str) -> str | None:
    """Return the last CMD or ENTRYPOINT, in JSON form or shell form."""
    lines = re.findall(r"(?im)^(?:CMD|ENTRYPOINT)\s+(.+)$", dockerfile)
    if not lines:
        return None
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', lines[-1])
    return shlex.join(words) if lines[-1].startswith("[") else str(lines[-1]).strip()
