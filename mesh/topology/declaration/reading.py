"""Reads the text of a mesh.toml, or of a pyproject.toml with [tool.mesh], into a Topology, or reports every mistake."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mesh.errors import UsageError
from mesh.suggestions import nearest
from mesh.topology.declaration import schema, toml_positions
from mesh.topology.declaration.checking import check
from mesh.topology.declaration.forms import AS_IT_IS, EXTERNALS, Form, Table
from mesh.topology.declaration.mistakes import Mistake, TopologyError
from mesh.topology.environment.variables import EnvFile, VariableError, Variables
from mesh.topology.model import GRACE_SECONDS, Grpc, Http, Limits, Service, Tcp, Tls, Topology

Key = tuple[str, ...]

#: The tables of a mesh.toml; in a pyproject.toml the first one is [tool.mesh] itself.
_TABLES = ("mesh", "services", "externals")


def parse(text: str, shown: Path) -> dict[str, Any]:
    """Return the tables of a TOML text; raises UsageError with `file:line:column` if it is not valid TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem, _, place = str(error).rpartition(" (at ")
        line, column = re.findall(r"\d+", place) or (len(text.splitlines()), 1)
        raise UsageError(f"{shown}:{line}:{column}: {problem}") from None
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, or arrays nested too deeply
        raise UsageError(f"{shown}: {error}") from None


def read(text: str, file: Path, shown: Path) -> Topology:
    """Return the topology that the text of `file` declares; its folders are relative to the file's folder.

    shown: the file's name in messages. Of the values, those of `env` are interpolated.
    Raises UsageError for a text that is not TOML, and TopologyError with every mistake in it.
    """
    tables = parse(text, shown)
    reading = _Reading(file, Variables(file.parent))
    topology = reading.pyproject(tables["tool"]["mesh"]) if _is_pyproject(file) else reading.mesh_toml(tables)
    mistakes = reading.mistakes + [mistake for mistake in check(topology) if not reading.doubts(mistake)]
    if mistakes:
        known = toml_positions.lines_of_keys(text)
        placed = [_located_mistake(mistake, shown, known, _is_pyproject(file)) for mistake in mistakes]
        raise TopologyError(sorted(placed, key=lambda mistake: mistake.line or 0))
    return topology


def _is_pyproject(file: Path) -> bool:
    return file.name == "pyproject.toml"


def _located_mistake(mistake: Mistake, shown: Path, known: dict[toml_positions.Path, int], pyproject: bool) -> Mistake:
    """Return the mistake with its file and line, and its key as that file spells it."""
    key = f"tool.mesh.{mistake.key.removeprefix('mesh.')}" if pyproject else mistake.key
    return Mistake(key, mistake.problem, mistake.nearest, shown, toml_positions.line_of(known, tuple(key.split("."))))


class _Reading(Struct):
    """One file being read; mistakes are collected in `mistakes`."""

    file: Path
    variables: Variables
    mistakes: list[Mistake] = field(default_factory=list)

    def mesh_toml(self, tables: Mapping[str, Any]) -> Topology:
        for key in tables:
            if key not in _TABLES:
                self.unknown((key,), list(_TABLES))
        project = self.table(("mesh",), tables.get("mesh", {}), schema.PROJECT)
        return self.topology(project, tables.get("services", {}), tables.get("externals", {}))

    def pyproject(self, table: Mapping[str, Any]) -> Topology:
        project = self.table(("mesh",), table, Table({**schema.PROJECT.keys, **dict.fromkeys(_TABLES[1:], AS_IT_IS)}))
        return self.topology(project, project.get("services", {}), project.get("externals", {}))

    def topology(self, project: Mapping[str, Any], services: Any, externals: Any) -> Topology:
        if not isinstance(services, dict):
            self.mistake(("services",), f"expected tables [services.NAME], not {_shown(services)}")
            services = {}
        found: dict[str, Any] = {}
        self.value(("externals",), externals, EXTERNALS, found)
        read = [self.service(name, table) for name, table in services.items()]
        return Topology(
            project.get("name", self.file.parent.name or "mesh"),
            *read,
            folder=self.file.parent,
            source=self.file,
            protos=self.folders(project.get("protos", ())),
            secrets=project.get("secrets", ()),
            grace=project.get("grace", GRACE_SECONDS),
            externals=found.get("externals"),
            files=self.variables.files,
            remarks=[
                f"{key} names the variable {name}, which has no value; it is left empty"
                for name, key in self.variables.unset.items()
            ],
        )

    def service(self, name: str, table: Any) -> Service:
        key = ("services", name)
        found = self.table(key, table, schema.SERVICE)
        found["env"] = self.environment(key, found.pop("env_file", ()), found.get("env", {}))
        found["root"] = self.folder(found.get("root", "."))
        found["protos"] = self.folders(found.get("protos", ()))
        if "python" in found:
            found["python"] = self.folder(found["python"])
        if "http" in found:
            found["http"] = self.http((*key, "http"), found["http"])
        if "grpc" in found:
            found["grpc"] = self.grpc((*key, "grpc"), found["grpc"])
        if "tcp" in found:
            found["tcp"] = self.tcp((*key, "tcp"), found["tcp"])
        return Service(name, **found)

    def environment(self, key: Key, files: Sequence[EnvFile], env: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of the files, the later ones first, and those of `env` before them all."""
        found: dict[str, str] = {}
        for file in files:
            try:
                found |= self.variables.of_file(file)
            except VariableError as error:
                self.mistake((*key, "env_file"), str(error))
        for name, text in env.items():
            place = (*key, "env", name)
            try:
                found[name] = self.variables.text(text, ".".join(place))
            except VariableError as error:
                self.mistake(place, str(error))
        return found

    def tcp(self, key: Key, found: dict[str, Any]) -> Tcp:
        self.ports(key, found)
        return Tcp(**found)

    def ports(self, key: Key, found: dict[str, Any]) -> None:
        """Let `ports` hold what `port` or `ports` says."""
        if "port" in found and "ports" in found:
            self.mistake((*key, "ports"), "expected either port or ports, not both")
        port = self.port(key, found)
        found["ports"] = found.get("ports", (port,))

    def http(self, key: Key, found: dict[str, Any]) -> Http:
        self.ports(key, found)
        found["contracts"] = found.pop("contract", ())
        tls = self.tls(key, found)
        return Http(tls=tls, limits=Limits(**found.pop("limits", {})), **found)

    def grpc(self, key: Key, found: dict[str, Any]) -> Grpc:
        port = self.port(key, found)
        tls = self.tls(key, found)
        return Grpc(port, tls=tls, **found)

    def tls(self, key: Key, found: dict[str, Any]) -> Tls | None:
        """Remove the files of the listener's TLS from the table, and return them."""
        files: dict[str, str] | None = found.pop("tls", None)
        if files is None:
            return None
        missing = [word for word in ("certificate", "key") if word not in files]
        if missing:
            self.mistake((*key, "tls"), f"expected {' and '.join(missing)}, the path of a PEM file")
            return None
        return Tls(**{word: self.folder(path) for word, path in files.items()})

    def port(self, key: Key, found: dict[str, Any]) -> int:
        """Remove the port from the table and return it; a missing one is a mistake."""
        unread = any(self.doubts(Mistake(".".join((*key, word)), "")) for word in ("port", "ports"))
        if not {"port", "ports"} & found.keys() and not unread:
            self.mistake(key, "expected port, such as port = 5001 (0 for any free port)")
        port = found.pop("port", 0)
        assert isinstance(port, int)
        return port

    def table(self, key: Key, value: Any, table: Table) -> dict[str, Any]:
        """Return the known keys of a table, each as its form reads it; values of another form are left out."""
        if table.shorthand and isinstance(value, int) and not isinstance(value, bool):
            value = {table.shorthand: value}
        if not isinstance(value, dict):
            self.mistake(key, f"expected a table of {', '.join(table.keys)}, not {_shown(value)}")
            return {}
        found: dict[str, Any] = {}
        for name, item in value.items():
            form = table.keys.get(name)
            if form is None:
                self.unknown((*key, name), list(table.keys))
            elif isinstance(form, Table):
                found[name] = self.table((*key, name), item, form)
            else:
                self.value((*key, name), item, form, found)
        return found

    def value(self, key: Key, item: Any, form: Form, found: dict[str, Any]) -> None:
        try:
            found[key[-1]] = form.read(item)
        except ValueError:
            meant = nearest(item, form.words) if isinstance(item, str) else None
            self.mistake(key, f"expected {form.expected}, not {_shown(item)}", meant)

    def folder(self, text: str) -> Path:
        return Path(os.path.abspath(self.file.parent / text))

    def folders(self, texts: tuple[str, ...]) -> tuple[Path, ...]:
        return tuple(self.folder(text) for text in texts)

    def unknown(self, key: Key, known: list[str]) -> None:
        self.mistake(key, f"unknown key; known keys: {', '.join(known)}", nearest(key[-1], known))

    def mistake(self, key: Key, problem: str, meant: str | None = None) -> None:
        self.mistakes.append(Mistake(".".join(key), problem, meant))

    def doubts(self, mistake: Mistake) -> bool:
        """Return whether an earlier mistake in, around or below the same key may be the reason for this one."""
        return any(
            f"{one.key}.".startswith(f"{mistake.key}.") or f"{mistake.key}.".startswith(f"{one.key}.")
            for one in self.mistakes
        )


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
