"""The services of a Compose file as mesh would run them: as code instead of images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mesh.topology.drafting.compose import ComposeService, read_compose
from mesh.topology.drafting.discovery import FoundCode, codes, proto_folders, relative
from mesh.topology.drafting.sketch import Ports, Sketch, service_name

_SERVERS = re.compile(r"\b(?:uvicorn|gunicorn|hypercorn|granian|daphne)\b")
_ENTRY = re.compile(r"(?<![\w./:-])([A-Za-z_][\w.]*):([A-Za-z_]\w*)(\(\))?(?![\w/])")


def sketches_of(file: Path) -> tuple[str, list[Sketch], list[str]]:
    """Return the project's name, its services, and a remark on each service that is left out.

    A service keeps its name as far as mesh's rules allow, and its host port. Its container port becomes an alias under
    each of its names, so that code which connects to `users:8080` reaches it.
    """
    project, declared = read_compose(file)
    ours = [service for service in declared if service.build and _runs(service)]
    left = [service for service in declared if service not in ours]
    names: dict[str, str] = {}
    for service in ours:
        names[service.name] = service_name(service.name, names.values())
    ports = Ports(reserved=frozenset(host for service in ours for host, _ in service.ports))
    ending = {name for service in declared for name in service.depends_on_end_of}
    sketches = [
        _one_shot(service, file.parent, names, left)
        if service.name in ending and service.command
        else _sketch(service, file.parent, names, ports, left)
        for service in ours
    ]
    _claim(sketches)
    return project, sketches, [_left_out(service, file.name) for service in left]


def _runs(service: ComposeService) -> bool:
    """Return whether there is anything to run: a folder with Python code, or with a command."""
    assert service.build
    return service.build.is_dir() and bool(service.command or _code(service))


def _sketch(
    service: ComposeService, folder: Path, names: Mapping[str, str], ports: Ports, left: Sequence[ComposeService]
) -> Sketch:
    assert service.build
    code = _code(service)
    sketch = Sketch(names[service.name], relative(service.build, folder))
    sketch.depends_on = [names[name] for name in service.depends_on if name in names]
    if code:
        sketch.root = relative(code.root, folder)
        sketch.app, sketch.servicers = code.app, list(code.servicers)
        sketch.protos = [relative(place, folder) for place in proto_folders(service.build)]
    else:
        sketch.command = service.command
    _give_ports(sketch, service, ports)
    _give_environment(sketch, service, left)
    return sketch


def _one_shot(
    service: ComposeService, folder: Path, names: Mapping[str, str], left: Sequence[ComposeService]
) -> Sketch:
    """Draft a service that others wait for to end: it runs its command and listens on no port."""
    assert service.build
    sketch = Sketch(names[service.name], relative(service.build, folder), command=service.command, ready="done")
    sketch.depends_on = [names[name] for name in service.depends_on if name in names]
    _give_environment(sketch, service, left)
    return sketch


def _code(service: ComposeService) -> FoundCode | None:
    """Return the Python code that the service runs, or None if its command starts something else."""
    assert service.build
    command = service.command or ""
    found = codes(service.build)
    if _SERVERS.search(command) and (entry := _ENTRY.search(command)):
        call = "()" if entry[3] or "--factory" in command else ""
        code = _offering(found, service.build, entry[1]) or _only(found)
        return _with_app(service.build, code, entry[1], f"{entry[1]}:{entry[2]}{call}")
    if not command or re.search(r"\bflask\b", command):
        return _only(found) or next((code for code in found if service_name(code.place.name) == service.name), None)
    # `python server.py` runs what that file offers or imports; a worker listens on no port.
    script = re.search(r"\bpython[\d.]*\s+(?:-\w+\s+)*(?:\./)?([\w./]+)", command)
    behind = _only(found) if service.ports else None
    return (_offering(found, service.build, script[1]) or behind) if script else None


def _only(found: Sequence[FoundCode]) -> FoundCode | None:
    return found[0] if len(found) == 1 else None


def _offering(found: Iterable[FoundCode], build: Path, script: str) -> FoundCode | None:
    """Return the code with an app or a servicer in this script of the folder, `server.py` or `shop.server`."""
    wanted = build.joinpath(*re.split(r"[./]", script.removesuffix(".py")))
    for code in found:
        modules = [entry.split(":")[0] for entry in (code.app, *code.servicers) if entry]
        if any(code.root.joinpath(*module.split(".")) == wanted for module in modules):
            return code
    return None


def _with_app(build: Path, code: FoundCode | None, module: str, app: str) -> FoundCode:
    """Return the code with the app that the command names, below the folder of its module."""
    parts = module.split(".")
    roots = [*([code.root] if code else []), build, build / "src"]
    files = [(root, root.joinpath(*parts)) for root in roots]
    root = next((root for root, file in files if file.with_suffix(".py").exists() or file.is_dir()), roots[0])
    return replace(code, app=app) if code and code.root == root else FoundCode(root, root, app, (), None, None)


def _give_ports(sketch: Sketch, service: ComposeService, ports: Ports) -> None:
    """Assign each of the service's ports to a listener, with the container's port as an alias."""
    grpc = _grpc_port(sketch, service)
    for host, container in service.ports:
        # Ports below 1024 need privileges that Docker has and the user does not.
        given = ports.claim(host) if host else ports.take(container if container >= 1024 else 8000 + container)
        aliases = [f"{name}:{container}" for name in service.names]
        aliases = [alias for alias in aliases if alias != f"{sketch.name}:{given}"]
        if container == grpc:
            sketch.grpc_port, sketch.grpc_aliases = given, aliases
        elif sketch.app or sketch.command:
            sketch.http_ports.append(given)
            sketch.http_aliases += aliases
        else:
            sketch.remarks.append(f"port {container} is left out: no listener was found for it")
    if sketch.app and not sketch.http_ports:
        sketch.http_ports = [ports.take(8001)]
        sketch.remarks.append("the Compose file gives no HTTP port; mesh chose this one")
    if sketch.servicers and sketch.grpc_port is None:
        sketch.grpc_port = ports.take(50051)
        sketch.remarks.append("the Compose file gives no gRPC port; mesh chose this one")


def _grpc_port(sketch: Sketch, service: ComposeService) -> int | None:
    """Return the container port for gRPC: one in a GRPC variable, one from 50000 to 50999, or the last."""
    inner = [container for _, container in service.ports]
    if sketch.app and not sketch.servicers:
        return None
    if sketch.servicers and not sketch.app:
        return inner[0] if inner else None
    named = [port for key, text in service.env.items() if "GRPC" in key for port in inner if text.endswith(str(port))]
    usual = [port for port in inner if 50000 <= port <= 50999]
    last = inner[-1:] if sketch.servicers and len(inner) > 1 else []
    return next(iter([*named, *usual, *last]), None)


def _give_environment(sketch: Sketch, service: ComposeService, left: Sequence[ComposeService]) -> None:
    """Set the variables, replacing the names of omitted services by localhost, where Compose publishes them."""
    for key, value in service.env.items():
        sketch.env[key] = found = _outside(value, left)
        if found != value:
            sketch.remarks.append(f"{key} points to localhost, where Compose publishes what mesh does not run")
    if service.unset:
        sketch.remarks.append(f"taken from mesh's own environment: {', '.join(service.unset)}")
    if service.env_file:
        sketch.remarks.append("its env_file is not read: export what it needs, or write it under env")


def _outside(value: str, left: Sequence[ComposeService]) -> str:
    for service in left:
        for name in service.names:
            for host, container in service.ports:
                value = re.sub(rf"(?<![\w.-]){re.escape(name)}:{container}(?!\d)", f"localhost:{host}", value)
            if value == name and service.ports:
                value = "localhost"
    return value


def _left_out(service: ComposeService, file: str) -> str:
    if service.build:
        return f"{service.name} is left out: no Python code with an app or servicers, and no command, in its folder"
    start = f"docker compose -f {file} up -d {service.name}"
    return f"{service.name} ({service.image or 'no image'}) is left out: mesh runs code; start it with `{start}`"


def _claim(sketches: Sequence[Sketch]) -> None:
    """Keep each alias only on the first listener that has it."""
    seen: set[str] = set()
    for sketch in sketches:
        for aliases in (sketch.http_aliases, sketch.grpc_aliases):
            aliases[:] = [alias for alias in dict.fromkeys(aliases) if alias not in seen]
            seen.update(aliases)
