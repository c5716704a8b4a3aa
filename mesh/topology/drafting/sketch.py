"""The services as `mesh init` has found them, and the mesh.toml written from them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

_WIDTH = 110


class Sketch(Struct):
    """One service of a drafted mesh.toml; `remarks` are the comments above it, folders are relative to the file."""

    name: str
    root: str = "."
    http_ports: list[int] = field(default_factory=list)
    app: str | None = None
    http_aliases: list[str] = field(default_factory=list)
    grpc_port: int | None = None
    servicers: list[str] = field(default_factory=list)
    grpc_aliases: list[str] = field(default_factory=list)
    run: str | None = None
    command: str | None = None
    image: str | None = None
    volumes: list[str] = field(default_factory=list)
    tcp_ports: list[int] = field(default_factory=list)
    tcp_aliases: list[str] = field(default_factory=list)
    ready: str | None = None
    grace: float | None = None
    depends_on: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    env_files: list[str | dict[str, object]] = field(default_factory=list)
    profiles: list[str] = field(default_factory=list)
    watch: list[str] = field(default_factory=list)
    protos: list[str] = field(default_factory=list)
    requirements: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Ports(Struct):
    """Ports assigned so far, each only once; reserved ones are for those who claim them by number."""

    reserved: frozenset[int] = frozenset()
    taken: set[int] = field(default_factory=set)

    def claim(self, port: int) -> int:
        """Return this port if it is not claimed yet, or else another."""
        if port in self.taken:
            return self.take(port)
        self.taken.add(port)
        return port

    def take(self, wanted: int) -> int:
        """Return the wanted port, or the next one that is neither taken nor reserved."""
        while wanted in self.taken or wanted in self.reserved:
            wanted += 1
        self.taken.add(wanted)
        return wanted


def service_name(text: str, taken: Iterable[str] = ()) -> str:
    """Return a valid service name made from any text, unlike those taken: `User_Service` becomes `user-service`."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "service"
    name = name if name[0].isalpha() else f"service-{name}"
    count = 2
    first = name
    while name in set(taken):
        name = f"{first}-{count}"
        count += 1
    return name


def mesh_toml(
    name: str,
    origin: str,
    sketches: Sequence[Sketch],
    protos: Sequence[str] = (),
    remarks: Sequence[str] = (),
    externals: Mapping[str, str] | None = None,
) -> str:
    """Return the text of a mesh.toml; `origin` says what it was drafted from, `remarks` what was left out."""
    lines = [
        f"# Drafted by `mesh init` from {origin}.",
        "# `mesh check` reads it, `mesh up` runs it, `mesh up --only NAME` runs a part.",
        *(f"# {remark}" for remark in remarks),
        "",
        "[mesh]",
        f"name = {_value(name)}",
    ]
    if protos:
        lines.append(
            f"protos = {_value(protos)}  # folders of .proto files: compiled at start, importable by every service"
        )
    if externals:
        lines += ["", "[externals]  # what runs beside mesh, and where"]
        lines += [f"{_key(known)} = {_value(address)}" for known, address in externals.items()]
    for sketch in sketches:
        lines += ["", *_service(sketch)]
    return "\n".join(lines) + "\n"


def _service(sketch: Sketch) -> list[str]:
    lines = [f"# {remark}" for remark in sketch.remarks]
    lines.append(f"[services.{sketch.name}]")
    if sketch.root != ".":
        lines.append(f"root = {_value(sketch.root)}")
    for key, value in (
        ("image", sketch.image),
        ("run", sketch.run),
        ("command", sketch.command),
        ("ready", sketch.ready),
        ("grace", sketch.grace),
        ("http", _http(sketch)),
        ("grpc", _grpc(sketch)),
        ("tcp", _tcp(sketch)),
    ):
        if value or value == 0:
            lines.append(f"{key} = {_value(value)}")
    for key, names in (
        ("depends_on", sketch.depends_on),
        ("protos", sketch.protos),
        ("requirements", sketch.requirements),
        ("volumes", sketch.volumes),
        ("profiles", sketch.profiles),
        ("watch", sketch.watch),
        ("env_file", sketch.env_files),
    ):
        if names:
            lines.append(f"{key} = {_value(list(dict.fromkeys(names)) if key == 'depends_on' else names)}")
    return lines + _environment(sketch)


def _http(sketch: Sketch) -> dict[str, object]:
    if not sketch.http_ports:
        return {}
    return _ports(sketch.http_ports) | _given({"app": sketch.app, "aliases": sketch.http_aliases})


def _tcp(sketch: Sketch) -> dict[str, object]:
    return _ports(sketch.tcp_ports) | _given({"aliases": sketch.tcp_aliases}) if sketch.tcp_ports else {}


def _ports(ports: list[int]) -> dict[str, object]:
    return {"port": ports[0]} if len(ports) == 1 else {"ports": ports}


def _grpc(sketch: Sketch) -> dict[str, object]:
    if sketch.grpc_port is None:
        return {}
    return {"port": sketch.grpc_port} | _given({"servicers": sketch.servicers, "aliases": sketch.grpc_aliases})


def _given(table: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in table.items() if value}


def _environment(sketch: Sketch) -> list[str]:
    """Return one line if it fits, or else a separate table, which has to come last."""
    if not sketch.env:
        return []
    line = f"env = {_value(sketch.env)}"
    if len(line) <= _WIDTH:
        return [line]
    lines = [f"{_key(name)} = {_value(value)}" for name, value in sketch.env.items()]
    return ["", f"[services.{sketch.name}.env]", *lines]


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_value(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    # A JSON string is a TOML string, except that TOML wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)
