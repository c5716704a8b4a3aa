"""The part of a topology that runs here, its ports, and its start order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from mesh.errors import UsageError
from mesh.suggestions import no_such
from mesh.topology.declaration.checking import circle, port_mistakes
from mesh.topology.declaration.mistakes import TopologyError
from mesh.topology.directory import alias_targets
from mesh.topology.model import LOOPBACK, Address, Grpc, Http, Kind, Service, Tcp, Topology, without_listener


class Selection(Struct, frozen=True):
    """A topology as declared, and the part of it that runs here; the rest is expected to run elsewhere."""

    declared: Topology
    running: Topology


def select(
    topology: Topology,
    only: Sequence[str] = (),
    excluded: Sequence[str] = (),
    with_deps: bool = False,
    profiles: Sequence[str] = (),
) -> Selection:
    """Return the services and listeners of `only` (all if it is empty), less those of `excluded`.

    Those with profiles are among all of them only if one of `profiles` is theirs.

    A name is a service's (`user-service`) or a listener's (`user-service.grpc`): a listener in `only` runs its service
    with only this listener, in `excluded` with the others. with_deps adds everything that the services of `only` depend
    on. A service without any listener left is left out.

    Raises UsageError for an unknown name, and for a selection that leaves nothing.
    """
    if unknown := set(profiles) - (known := {profile for service in topology for profile in service.profiles}):
        raise UsageError(no_such("profile", min(unknown), sorted(known)))
    usual = [each.name for each in topology if not each.profiles or set(each.profiles) & set(profiles)]
    wanted = _listeners_by_service(topology, only or usual)
    unwanted = _listeners_by_service(topology, excluded)
    if with_deps:
        for name in _dependencies(topology, list(wanted)):
            wanted.setdefault(name, _kinds(topology[name]))
    picked = [
        _with_only(topology[service.name], wanted[service.name] - unwanted.get(service.name, frozenset()))
        for service in topology
        if service.name in wanted and service.name not in excluded
    ]
    kept = [service for service in picked if service.listeners or not topology[service.name].listeners]
    if not kept:
        raise UsageError(f"nothing is left to run out of {_listed([service.name for service in topology])}")
    return Selection(topology, topology.with_services(kept))


def renumber(topology: Topology, port_base: int | None, free: bool) -> Topology:
    """Return the topology on other ports, in declared order: from `port_base` up, or any free ports (0) with `free`.

    The declared `service:port` and `localhost:port` become aliases of the listener, so that code which uses them
    reaches this copy and never another one that runs on the declared ports. Renumber before selecting, so that the
    numbers are the same whatever is selected.

    Raises UsageError for a base that leaves 1 to 65535 or overlaps declared ports, and for a base with `free`.
    """
    if port_base is None and not free:
        return topology
    if port_base is not None and free:
        raise UsageError("a port base and free ports exclude each other; give one of them")
    count = sum(len(listener.ports) for service in topology for listener in service.listeners)
    first = port_base or 0
    if port_base is not None and not 1 <= first <= 65536 - count:
        raise UsageError(f"port base {first}: {count} ports are needed; give one from 1 to {65536 - count}")
    ports = iter([0] * count if free else range(first, first + count))
    renumbered = topology.with_services([_renumbered(service, ports) for service in topology])
    _refuse_overlap(topology, renumbered)
    return renumbered


def start_order(topology: Topology) -> list[list[str]]:
    """Return the names of the services in waves: each wave starts together, once all waves before it are ready.

    A dependency that does not run here is taken as ready. Raises UsageError that shows the circle, if there is one.
    """
    if found := circle(topology):
        raise UsageError(f"depends_on goes round in a circle: {' -> '.join(found)}")
    waiting = {service.name: set(topology.needs(service)) for service in topology}
    waves: list[list[str]] = []
    while waiting:
        wave = [name for name, needs in waiting.items() if not needs & waiting.keys()]
        waves.append(wave)
        waiting = {name: needs for name, needs in waiting.items() if name not in wave}
    return waves


def check_ports(topology: Topology) -> None:
    """Raise TopologyError if two listeners have the same port, naming both. Port 0 never counts as shared."""
    if mistakes := port_mistakes(topology):
        raise TopologyError(mistakes)


def _listeners_by_service(topology: Topology, names: Sequence[str]) -> dict[str, frozenset[Kind]]:
    """Return the listeners that the names select, by service."""
    found: dict[str, frozenset[Kind]] = {}
    for name in names:
        service, kinds = _named(topology, name)
        found[service] = found.get(service, frozenset()) | kinds
    return found


def _named(topology: Topology, name: str) -> tuple[str, frozenset[Kind]]:
    for service in topology:
        if name == service.name:
            return name, _kinds(service)
        for listener in service.listeners:
            if name == f"{service.name}.{listener.kind}":
                return service.name, frozenset({listener.kind})
    dotted = "." in name
    names = topology.listener_names() if dotted else [service.name for service in topology]
    raise UsageError(no_such("listener" if dotted else "service", name, names))


def _kinds(service: Service) -> frozenset[Kind]:
    return frozenset(listener.kind for listener in service.listeners)


def _with_only(service: Service, kinds: frozenset[Kind]) -> Service:
    for kind in _kinds(service) - kinds:
        service = without_listener(service, kind)
    return service


def _dependencies(topology: Topology, names: list[str]) -> list[str]:
    """Return all dependencies of these services, direct and indirect."""
    known = {service.name for service in topology}
    seen = list(names)
    for name in seen:
        seen.extend(need for need in topology.needs(topology[name]) if need in known and need not in seen)
    return seen


def _renumbered(service: Service, ports: Iterator[int]) -> Service:
    http, grpc, tcp = service.http, service.grpc, service.tcp
    if http:
        http = replace(http, ports=tuple(next(ports) for _ in http.ports), aliases=_aliases(service.name, http))
    if grpc:
        grpc = replace(grpc, port=next(ports), aliases=_aliases(service.name, grpc))
    if tcp:
        tcp = replace(tcp, ports=tuple(next(ports) for _ in tcp.ports), aliases=_aliases(service.name, tcp))
    return replace(service, http=http, grpc=grpc, tcp=tcp)


def moved_ports(topology: Topology) -> set[int]:
    """Return the declared ports that `renumber` has replaced by others."""
    aliases = (Address.parse(alias) for each in topology for listener in each.listeners for alias in listener.aliases)
    return {alias.port for alias in aliases if alias.host == LOOPBACK}


def _refuse_overlap(declared: Topology, renumbered: Topology) -> None:
    """Refuse a port that is declared for one listener and given to another: code that names it may mean either."""
    owners = {port: (name, at) for name, ports in _ports_by_listener(declared) for at, port in enumerate(ports)}
    for name, ports in _ports_by_listener(renumbered):
        for at, port in enumerate(ports):
            if port and (owner := owners.get(port, (name, at))) != (name, at):
                raise UsageError(
                    f"{name} would get port {port}, which is declared for {owner[0]}; give another port base"
                )


def _ports_by_listener(topology: Topology) -> Iterator[tuple[str, tuple[int, ...]]]:
    for service in topology:
        for listener in service.listeners:
            yield f"{service.name}.{listener.kind}", listener.ports


def _aliases(name: str, listener: Http | Grpc | Tcp) -> tuple[str, ...]:
    declared = [
        (Address(host, port), at) for at, port in enumerate(listener.ports) for host in (name, LOOPBACK) if port
    ]
    if len(listener.ports) == 1:
        return tuple(dict.fromkeys((*listener.aliases, *(str(alias) for alias, _ in declared))))
    # The ports are new: what tells the aliases of a host apart is their order, in which each port has as many.
    by_host: dict[str, dict[int, list[str]]] = {}
    for alias, at in (*alias_targets(listener), *declared):
        by_host.setdefault(alias.host, {}).setdefault(at, []).append(str(alias))
    found: list[str] = []
    for host, aliases in by_host.items():
        columns = [aliases.get(at) or [f"{host}:{port}"] for at, port in enumerate(listener.ports)]
        rows = range(max(map(len, columns)))
        found += [column[min(row, len(column) - 1)] for row in rows for column in columns]
    return tuple(found)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
