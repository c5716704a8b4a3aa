"""Reads the Compose files of a project into the tables of its services.

Values are interpolated file by file, but for those of `environment`: these become values of `env` in mesh.toml, where
they are interpolated by the same rules, and no secret of `.env` gets into that file. mesh.toml does not read the `.env`
of a Compose file in another folder: values with variables from there are interpolated here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from msgspec import Struct

from mesh.errors import UsageError
from mesh.topology.compose.merging import Table, merged_service, merged_services, plain
from mesh.topology.compose.yaml_file import Override, read_yaml
from mesh.topology.environment.interpolation import escaped
from mesh.topology.environment.variables import VariableError, Variables

FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
#: Files for development, which repositories have that keep one for each purpose.
_FOR_DEVELOPMENT = tuple(
    f"{name}{dot}{purpose}.{ending}"
    for purpose in ("development", "dev", "local")
    for name in ("compose", "docker-compose")
    for dot in (".", "-")
    for ending in ("yaml", "yml")
)
#: What a Compose file for development may be called as well, if it has services.
_SHORT = ("local.yml", "local.yaml", "dev.yml", "dev.yaml")
_SERVICES = re.compile(r"^services:", re.MULTILINE)
_VARIABLE = re.compile(r"(?<!\$)(?:\$\$)*\$\{?([A-Za-z_]\w*)")
#: Folders that hold a repository's Compose files where the top does not.
_FOLDERS = ("docker", ".docker", "compose", "docker-compose", "docker_compose")

#: Keys of a service with paths, which are relative to the file that has them.
_PATHS = ("env_file", "volumes")
#: Keys of a project and of a service, with where the container has what they give it.
_GIVEN = {"secrets": "/run/secrets/", "configs": "/"}


class Project(Struct, frozen=True):
    """The services of a project by name, with paths made absolute; `files` are those that were read.

    folder: of its first file. written_out: variables whose values are in the tables, from the `.env` in that folder.
    """

    name: str
    folder: Path
    services: dict[str, Table]
    files: tuple[Path, ...]
    variables: Variables
    written_out: set[str]


def compose_files(folder: Path) -> tuple[Path, ...]:
    """Return the Compose files of a folder, which are merged in this order; none if it has none.

    These are the files that `docker compose` takes here: those of COMPOSE_FILE, or one of the usual name with its
    override. Where there are none: one for development, here or in a folder such as `docker`.
    """
    variables = Variables(folder)
    # What is wrong with `.env` is told when its variables are needed.
    with suppress(VariableError):
        if named := variables.value("COMPOSE_FILE"):
            separator = variables.value("COMPOSE_PATH_SEPARATOR") or os.pathsep
            return tuple(Path(os.path.normpath(folder / name)) for name in named.split(separator) if name)
    usual = [folder / name for name in (*FILES, *_FOR_DEVELOPMENT)]
    further = [folder / place / name for place in _FOLDERS for name in (*FILES, *_FOR_DEVELOPMENT)]
    # os.path.isfile: a folder that only a container's user may read has none.
    short = (each for name in _SHORT if os.path.isfile(each := folder / name) and _has_services(each))
    file = next(chain((each for each in (*usual, *further) if os.path.isfile(each)), short), None)
    return () if file is None else (file, *_overrides(file))


def _has_services(file: Path) -> bool:
    return _SERVICES.search(file.read_text("utf-8", "replace")) is not None


def read_project(files: Sequence[Path], folder: Path) -> Project:
    """Return the project of Compose files, with what they include and extend.

    folder: that of the declaration; variables come from the `.env` there, then from the one beside the first file.
    Raises UsageError for a file that is missing or no Compose file, and for a variable that one needs.
    """
    own = files[0].parent
    variables = Variables(folder, () if own == folder else (own,))
    try:
        project_name = variables.value("COMPOSE_PROJECT_NAME")
    except VariableError as error:
        raise UsageError(str(error)) from None
    reading = _ProjectReading(own, variables)
    services: Table = {}
    name = ""
    for each in files:
        content = reading.content(each)
        name = str(content.get("name") or name)
        services = merged_services(services, reading.services(each, content))
    services = {key: plain(table) for key, table in services.items() if isinstance(table, dict)}
    for table in services.values():
        if mounts := list(_mounts(table, reading.given)):
            table["volumes"] = [*(table.get("volumes") or ()), *mounts]
    return Project(
        project_name or name or folder.name or "mesh",
        own,
        services,
        tuple(reading.files),
        reading.variables,
        reading.written_out,
    )


def _overrides(file: Path) -> Iterator[Path]:
    for ending in (".yaml", ".yml"):
        other = file.with_name(f"{file.stem}.override{ending}")
        if other.is_file():
            yield other
            return


class _ProjectReading:
    """folder: the project's; messages name files relative to it."""

    def __init__(self, folder: Path, variables: Variables, around: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.variables = variables
        self.files: list[Path] = []
        #: The files of secrets and configs, by the key of the project and the name.
        self.given: dict[tuple[str, str], str] = {}
        self._around = around
        #: Variables whose values the draft has, since mesh.toml would not find them.
        self.written_out: set[str] = set()

    def content(self, file: Path) -> Table:
        """Return a file's table, interpolated. An empty file is an empty table."""
        shown = os.path.relpath(file, self.folder)
        if not file.is_file():
            raise UsageError(f"no such Compose file: {shown}")
        self.files.append(file)
        content = read_yaml(file, shown)
        if content is None:
            return {}
        services = content.get("services", {}) if isinstance(content, dict) else None
        if services is not None and not isinstance(services, dict):
            services = None
        if services is None:
            raise UsageError(f"{shown}: it has no table of services")
        found = self._interpolated(content, shown, ())
        assert isinstance(found, dict)
        return found

    def services(self, file: Path, content: Table) -> Table:
        """Return the services of a file, and of those that it includes."""
        found: Table = {}
        for kind in _GIVEN:
            for name, each in (content.get(kind) or {}).items():
                if isinstance(each, dict) and each.get("file"):
                    self.given[kind, str(name)] = _below(self.folder, each["file"])
        for included in content.get("include") or ():
            found = merged_services(found, self._included(file, included))
        own = content.get("services") or {}
        return merged_services(
            found,
            {name: self._service(file, self.folder, own, str(name), ()) for name in own if isinstance(own[name], dict)},
        )

    def _included(self, file: Path, value: Any) -> Table:
        table = value if isinstance(value, dict) else {"path": value}
        given = table.get("path")
        paths = [file.parent / str(path) for path in (given if isinstance(given, list) else [given])]
        found: Table = {}
        for path in paths:
            if path in self._around:
                raise UsageError(f"{os.path.relpath(path, self.folder)} includes itself")
            folder = file.parent / table["project_directory"] if table.get("project_directory") else path.parent
            inner = _ProjectReading(folder, Variables(folder), (*self._around, file, path))
            found = merged_services(found, inner.services(path, inner.content(path)))
            self.files += inner.files
            self.given = {**inner.given, **self.given}
        return found

    def _service(
        self, file: Path, folder: Path, services: Table, name: str, seen: tuple[tuple[Path, str], ...]
    ) -> Table:
        """Return a service's table with what it extends; its paths, relative to `folder`, made absolute."""
        table = _anchored(services[name], folder)
        extends = table.pop("extends", None)
        if extends is None:
            return table
        other, base = (extends.get("file"), extends.get("service")) if isinstance(extends, dict) else (None, extends)
        base = str(base)
        source = file.parent / other if other else file
        if (source, base) in {*seen, (file, name)}:
            raise UsageError(f"{file.name}: service {name} extends itself")
        known = (self.content(source).get("services") or {}) if other else services
        if not isinstance(known.get(base), dict):
            raise UsageError(f"{file.name}: service {name} extends {base!r}, which {source.name} does not have")
        inner = source.parent if other else folder
        return merged_service(self._service(source, inner, known, base, (*seen, (file, name))), table)

    def _of_environment(self, text: str, key: str) -> str:
        """Return a value as mesh.toml has it: as it is, but for variables that mesh.toml would not find."""
        named = {found[1] for found in _VARIABLE.finditer(text)}
        foreign = {name for name in named if self.variables.is_foreign(name)}
        self.written_out |= foreign
        return escaped(self.variables.text(text, key)) if foreign else text

    def _interpolated(self, value: Any, shown: str, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {key: self._interpolated(item, shown, (*path, str(key))) for key, item in value.items()}
        if isinstance(value, list):
            return [self._interpolated(item, shown, path) for item in value]
        if isinstance(value, Override):
            return Override(self._interpolated(value.value, shown, path))
        if not isinstance(value, str):
            return value
        key = f"{shown}: {'.'.join(path)}"
        try:
            if path[:1] == ("services",) and path[2:3] == ("environment",):
                return self._of_environment(value, key)
            return self.variables.text(value, key)
        except VariableError as error:
            raise UsageError(f"{key}: {error}") from None


def _mounts(table: Table, given: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield the secrets and configs of a service that are files, as mounts."""
    for kind, folder in _GIVEN.items():
        for item in table.get(kind) or ():
            named = item if isinstance(item, dict) else {"source": item}
            name, target = str(named.get("source")), str(named.get("target") or named.get("source"))
            if (file := given.get((kind, name))) is not None:
                yield f"{file}:{target if target.startswith('/') else folder + target}:ro"


def _anchored(table: Table, folder: Path) -> Table:
    """Return a service's table with the paths of its build, files and mounts made absolute."""
    found = dict(table)
    build = found.get("build")
    if isinstance(build, str):
        found["build"] = {"context": _below(folder, build)}
    elif isinstance(build, dict):
        found["build"] = {**build, "context": _below(folder, build.get("context", "."))}
    for key in _PATHS:
        value = found.get(key)
        if isinstance(value, list):
            found[key] = [_path(item, folder, key) for item in value]
        elif isinstance(value, str):
            found[key] = [_path(value, folder, key)]
    return found


def _path(item: Any, folder: Path, key: str) -> Any:
    if isinstance(item, dict):
        word = "path" if key == "env_file" else "source"
        is_path = isinstance(item.get(word), str) and (key == "env_file" or item.get("type") == "bind")
        return {**item, word: _below(folder, item[word])} if is_path else item
    if key == "env_file":
        return _below(folder, str(item))
    source, colon, rest = str(item).partition(":")
    return f"{_below(folder, source)}:{rest}" if colon and source[:1] in "./~" else item


def _below(folder: Path, path: Any) -> Any:
    """Return the absolute path; a URL, as a build context may be, stays one."""
    text = str(path)
    return text if "://" in text or text.startswith("git@") else os.path.normpath(folder / os.path.expanduser(text))
