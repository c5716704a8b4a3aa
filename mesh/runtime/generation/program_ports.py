"""The ports of a program: which it is to open, which it may, and which it has opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mesh.errors import MeshError, UsageError
from mesh.hosting.tracebacks import caller
from mesh.topology.model import LOOPBACK, Address, Grpc, Http, Kind, Service

_WORDS: dict[Kind, str] = {"http": "HTTP", "grpc": "gRPC"}


class ProgramPorts:
    """actual: by kind, the ports of the service's listeners. bind: see Generation. say: tells a sentence.

    servers: those that the program has opened.
    """

    def __init__(
        self,
        service: Service,
        actual: Mapping[Kind, Sequence[int]],
        bind: Callable[[Kind, int], int],
        say: Callable[[str], None],
    ) -> None:
        self.servers: dict[Kind, Any] = {}
        self._service = service
        self._actual = dict(actual)
        self._bind = bind
        self._say = say

    def port_for(self, kind: Kind, port: int) -> int:
        """Return the port that the listener has; raises UsageError for one that the program must not open."""
        name, place = self._service.name, f"{caller()} listens on {_WORDS[kind]} port {port}"
        if self._declared(kind) is not None:
            self._check_declared(kind, port, place)
        if kind in self.servers:
            word = _WORDS[kind]
            raise UsageError(f"{name}: {caller()} opens a second {word} server; a service in run has one of each kind")
        if self._declared(kind) is None:
            return self._undeclared(kind, port, place)
        return self._actual[kind][0] if self._actual.get(kind) else port

    def known(self, kind: Kind) -> list[int]:
        """Return the declared port, also where it has been moved to another, and then the actual one."""
        actual = self._actual.get(kind, ())
        if (listener := self._declared(kind)) is None:
            return list(actual)
        moved = [Address.parse(alias) for alias in listener.aliases]
        ports = [each.port for each in moved if each.host in (self._service.name, LOOPBACK)]
        return [*(dict.fromkeys(ports) or listener.ports), *actual]

    def missing(self) -> list[str]:
        """Return the declared ports that the program has not opened yet."""
        kinds = [each for each in self._service.listeners if each.kind not in self.servers]
        return [
            f"{each.kind} port {each.ports[0]}" for each in kinds if each.kind != "http" or not self._serves_own_rest()
        ]

    def opened_before(self) -> set[Kind]:
        """Return the kinds that an earlier generation has opened without a declaration, and this one has not yet."""
        return {kind for kind in self._actual if self._declared(kind) is None and kind not in self.servers}

    def _check_declared(self, kind: Kind, port: int, place: str) -> None:
        if kind == "http" and self._serves_own_rest():
            raise UsageError(
                f"{self._service.name}: {place}, where mesh serves its contract; remove contract from http"
            )
        known = self.known(kind)
        declared = known[: len(known) - len(self._actual.get(kind, ()))]
        if port and declared != [0] and port not in known:
            raise UsageError(f"{self._service.name}: {place}, mesh.toml says {declared[0]}; make them the same")

    def _undeclared(self, kind: Kind, port: int, place: str) -> int:
        """Open a port that nothing declares, and tell it, unless an earlier generation has."""
        name = self._service.name
        if opened := self._actual.get(kind):
            if port not in (0, *opened):
                raise UsageError(
                    f"{name}: {place}, and before the edit on {opened[0]}; add {kind} = {port} to services.{name}"
                )
            return opened[0]
        try:
            found = self._bind(kind, port)
        except MeshError as error:
            raise UsageError(f"{name}: {place}, which is not declared: {error}") from error
        self._actual[kind] = (found,)
        self._say(
            f"{place}, which is not declared; add {kind} = {port} to services.{name}, so that its name leads there, "
            "and so that the port can be moved"
        )
        return found

    def _serves_own_rest(self) -> bool:
        return self._service.http is not None and self._service.name in self._service.http.contracts

    def _declared(self, kind: Kind) -> Http | Grpc | None:
        return self._service.http if kind == "http" else self._service.grpc
