"""Checks that the services of a topology fit together: names, ports, dependencies, contracts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mesh.errors import UsageError
from mesh.python_command import PythonCommand
from mesh.suggestions import nearest
from mesh.topology.declaration.forms import SERVICE_NAME
from mesh.topology.declaration.mistakes import Mistake
from mesh.topology.model import Http, Limits, Service, Tcp, Topology
from mesh.virtualenv import Virtualenv


def check(topology: Topology) -> list[Mistake]:
    """Return every conflict between the services, in declared order; empty for a topology that can run."""
    found = [mistake for service in topology for mistake in _service_mistakes(topology, service)]
    return [
        *_project_mistakes(topology),
        *found,
        *port_mistakes(topology),
        *_alias_mistakes(topology),
        *_circles(topology),
    ]


def port_mistakes(topology: Topology) -> list[Mistake]:
    """Yield a mistake for each port that two listeners share; port 0 never counts as shared."""
    owners: dict[int, str] = {}
    found = []
    for service in topology:
        for listener in service.listeners:
            name = f"{service.name}.{listener.kind}"
            for port in filter(None, listener.ports):
                if port in owners:
                    word = "ports" if len(listener.ports) > 1 else "port"
                    problem = (
                        f"{port} is already the port of {owners[port]}; give {name} another, or 0 for any free one"
                    )
                    found.append(Mistake(f"services.{name}.{word}", problem))
                owners.setdefault(port, name)
    return found


def circle(topology: Topology) -> list[str] | None:
    """Return one circle of dependencies, its first name repeated at the end, or None."""
    needs = {service.name: topology.needs(service) for service in topology}
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done or name not in needs:
            return None
        for need in needs[name]:
            if found := walk(need, [*path, name]):
                return found
        done.add(name)
        return None

    return next((found for name in needs if (found := walk(name, []))), None)


def _circles(topology: Topology) -> Iterator[Mistake]:
    if found := circle(topology):
        yield Mistake(f"services.{found[0]}.depends_on", f"goes round in a circle: {' -> '.join(found)}")


def _project_mistakes(topology: Topology) -> Iterator[Mistake]:
    for folder in topology.protos:
        if not Path(folder).is_dir():
            yield Mistake("mesh.protos", f"no such folder: {folder}")
    names = [service.name for service in topology]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Mistake(f"services.{name}", "two services have this name; rename one of them")


def _service_mistakes(topology: Topology, service: Service) -> Iterator[Mistake]:
    key = f"services.{service.name}"
    if not SERVICE_NAME.fullmatch(service.name):
        yield Mistake(key, "a service's name is lower-case letters, digits and single dashes, and starts with a letter")
    yield from _work_mistakes(key, service)
    yield from _http_mistakes(key, service)
    yield from _grpc_mistakes(key, service)
    yield from _folder_mistakes(key, service)
    yield from _tls_mistakes(key, service)
    yield from _carrying_mistakes(key, service)
    yield from _name_mistakes(topology, f"{key}.depends_on", service.depends_on)
    for name in service.http.contracts if service.http else ():
        yield from _contract_mistakes(topology, f"{key}.http.contract", name)


def _carrying_mistakes(key: str, service: Service) -> Iterator[Mistake]:
    """Yield the mistakes in which modules a reload executes."""
    for name in service.keep:
        if name in service.fresh:
            yield Mistake(f"{key}.keep", f"{name!r} is in fresh as well; remove it from one of them")
    for word, names in (("keep", service.keep), ("fresh", service.fresh)):
        if names and (service.run is not None or service.is_process):
            yield Mistake(f"{key}.{word}", "not allowed with run or command, which a reload executes whole; remove it")


def _work_mistakes(key: str, service: Service) -> Iterator[Mistake]:
    """Yield the mistakes in what a service runs: named Python code, the program in `run`, or a command."""
    if service.ready.startswith("/") and service.http is None:
        yield Mistake(f"{key}.ready", "a path is asked for over http, which is missing; add it, or remove ready")
    if service.tcp and not service.is_process:
        yield Mistake(f"{key}.tcp", "is for a command or an image; Python code has http and grpc")
    if service.volumes and service.image is None:
        yield Mistake(f"{key}.volumes", "is for an image; remove it")
    if (pattern := service.ready_line) is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            yield Mistake(f"{key}.ready", f"{pattern!r} is no regular expression: {error}")
    if service.run is not None:
        yield from _run_mistakes(key, service)
        return
    servicers = service.grpc.servicers if service.grpc else ()
    if service.ready == "done" and (service.listeners or not service.is_process):
        yield Mistake(f"{key}.ready", '"done" is for a command that ends, and has no ports; remove it, or the ports')
    if not service.is_process:
        if not service.listeners:
            yield Mistake(key, "nothing to run: expected http, grpc, run, command or image")
        if service.grpc and not servicers:
            yield Mistake(f"{key}.grpc", 'expected servicers, such as ["module:UserServicer"]')
        return
    if service.http and service.http.app is not None:
        yield Mistake(f"{key}.http.app", "not allowed with command, which serves its own app; remove one of them")
    for word, is_set in _decided_by_command(service.http) if service.http else ():
        if is_set:
            yield Mistake(f"{key}.http.{word}", "not allowed with command, which decides that itself; remove it")
    if servicers:
        yield Mistake(f"{key}.grpc.servicers", "not allowed with command, which brings its own; remove one of them")


def _decided_by_command(http: Http) -> list[tuple[str, bool]]:
    return [("hosts", bool(http.hosts)), ("origins", bool(http.origins)), ("limits", http.limits != Limits())]


def _run_mistakes(key: str, service: Service) -> Iterator[Mistake]:
    """Yield what is declared beside `run` that its program decides itself."""
    try:
        PythonCommand.parse(service.run or "")
    except UsageError as error:
        yield Mistake(f"{key}.run", str(error))
    for word in ("command", "image"):
        if getattr(service, word) is not None:
            yield Mistake(f"{key}.{word}", "not allowed with run; remove one of them")
    if service.ready == "done":
        yield Mistake(f"{key}.ready", '"done" is for a command that ends; a program in run may end as well; remove it')
    if service.http and service.http.app is not None:
        yield Mistake(f"{key}.http.app", "not allowed with run, whose program brings its own app; remove one of them")
    if service.http and len(service.http.ports) > 1:
        yield Mistake(f"{key}.http.ports", "expected one port: the program in run opens one HTTP server")
    for word in ("interceptors", "compression") if service.grpc else ():
        if getattr(service.grpc, word) not in ((), "none"):
            yield Mistake(
                f"{key}.grpc.{word}", "not allowed with run, whose program gives its server its own; remove it"
            )
    if service.grpc and service.grpc.servicers:
        yield Mistake(f"{key}.grpc.servicers", "not allowed with run, whose program adds its own; remove one of them")


def _http_mistakes(key: str, service: Service) -> Iterator[Mistake]:
    http = service.http
    if http is None:
        return
    if http.prefix and not http.contracts:
        yield Mistake(f"{key}.http.prefix", "expected contract beside it: the services whose contracts to mount")
    if http.root_path and http.app is None and service.run is None:
        yield Mistake(f"{key}.http.root_path", "expected app or run beside it: an application that is to know the path")
    if http.app is None and not http.contracts and not service.grpc and not (service.is_process or service.run):
        yield Mistake(f"{key}.http", 'expected app, such as "module:app", or servicers under grpc to serve over HTTP')


def _grpc_mistakes(key: str, service: Service) -> Iterator[Mistake]:
    """Yield numbers out of range in a topology made in Python; those of a file are checked as they are read."""
    for word, least in (("workers", 1), ("queue", 0), ("queue_seconds", 0)) if service.grpc else ():
        value = getattr(service.grpc, word)
        if not value >= least:
            yield Mistake(f"{key}.grpc.{word}", f"expected at least {least}, not {value!r}")


def _tls_mistakes(key: str, service: Service) -> Iterator[Mistake]:
    for listener in service.listeners:
        if isinstance(listener, Tcp) or listener.tls is None:
            continue
        if service.run is not None or service.is_process:
            yield Mistake(
                f"{key}.{listener.kind}.tls",
                "not allowed with run or command, whose program gives its servers their certificates; remove it",
            )
            continue
        for word in ("certificate", "key", "client_ca"):
            file = getattr(listener.tls, word)
            if file is not None and not Path(file).is_file():
                yield Mistake(f"{key}.{listener.kind}.tls.{word}", f"no such file: {file}")


def _folder_mistakes(key: str, service: Service) -> Iterator[Mistake]:
    folders = [("root", service.root), *(("protos", folder) for folder in service.protos)]
    for word, folder in folders:
        if folder is not None and not Path(folder).is_dir():
            yield Mistake(f"{key}.{word}", f"no such folder: {folder}")
    if service.python is not None:
        try:
            Virtualenv.at(Path(service.python))
        except ValueError as error:
            yield Mistake(f"{key}.python", f"{service.python}: {error}")


def _name_mistakes(topology: Topology, key: str, names: tuple[str, ...]) -> Iterator[Mistake]:
    known = [service.name for service in topology]
    for name in names:
        if name not in known:
            problem = f"no service is named {name!r}; known services: {', '.join(known)}"
            yield Mistake(key, problem, nearest(name, known))


def _contract_mistakes(topology: Topology, key: str, name: str) -> Iterator[Mistake]:
    yield from _name_mistakes(topology, key, (name,))
    if any(service.name == name and service.grpc is None for service in topology):
        yield Mistake(key, f"{name} has no grpc listener, and so no contract to mount")


def _alias_mistakes(topology: Topology) -> Iterator[Mistake]:
    owners: dict[str, str] = {}
    for service in topology:
        for listener in service.listeners:
            name = f"{service.name}.{listener.kind}"
            for alias in listener.aliases:
                if owners.setdefault(alias, name) != name:
                    yield Mistake(f"services.{name}.aliases", f"{alias!r} leads to {owners[alias]} already")
