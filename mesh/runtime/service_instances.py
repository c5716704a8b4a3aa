"""The instances of a topology, what they need of each other, and where they are found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.calling.connections import Connections
from mesh.contract import Contract
from mesh.descriptors import check
from mesh.hosting.isolation import Isolation
from mesh.observing.exchanges import Exchanges
from mesh.observing.journal import Journal, Line
from mesh.runtime.instances.ports import Patience, bind_all, bind_instance
from mesh.runtime.instances.thread import ThreadInstance
from mesh.runtime.messages import Message
from mesh.runtime.options import Options
from mesh.runtime.reload.change_set import ChangeSet, python_path
from mesh.runtime.reload.replay import replay
from mesh.runtime.stubs import Stubs, stubs_of
from mesh.service import ServiceContext
from mesh.topology.difference import Difference, difference
from mesh.topology.directory import Directory
from mesh.topology.model import Address, Kind, Service, Topology
from mesh.topology.selection import start_order

if TYPE_CHECKING:
    from mesh.runtime.instances.command import CommandInstance

Addresses = Mapping[Kind, tuple[Address, ...]]


class ServiceInstances:
    """One instance for each service that runs here, made again where one has ended.

    order: names, each after what it depends on. directory: complete once `bind()` has returned. living: names of those
    that were started and whose end has not been told yet; the loop keeps it.
    """

    def __init__(
        self,
        topology: Topology,
        declared: Topology,
        options: Options,
        journal: Journal,
        post: Callable[[Message], None],
    ) -> None:
        self.topology = topology
        self.declared = declared
        self.order = [name for wave in start_order(topology) for name in wave]
        alone = len(topology.services) == 1
        self.isolation = Isolation(lambda name, stream, text: journal.append(Line(name, text, stream)), alone)
        self.directory = Directory()
        self.exchanges = Exchanges() if options.replay else None
        self._options = options
        self._journal = journal
        self._post = post
        self._stubs: dict[str, tuple[Stubs, ...]] = {}
        self._states: dict[str, dict[str, Any]] = {}
        self._bound: dict[str, Addresses] = {}
        self.living: set[str] = set()
        self.by_name = {service.name: self._make_instance(service.name) for service in topology}

    def bind(self, patience: Patience) -> dict[str, Addresses]:
        """Compiles what is to be compiled and takes every port, all or nothing; returns each service's addresses."""
        check(len(self.by_name), sum(len(each.listeners) for each in self.topology))
        self.compile()
        bind_all(self.topology, self.by_name, self._options.host, patience)
        for name, instance in self.by_name.items():
            self._bound[name] = instance.addresses(self._reached())
        self._direct()
        return dict(self._bound)

    def release(self, names: Iterable[str]) -> None:
        """Lets go of what instances hold that were never started."""
        for name in names:
            self.by_name[name].release()

    def replace(self, name: str) -> Addresses:
        """Replaces an instance that has ended, on the ports it had; raises PortError if one was taken since."""
        self.by_name[name] = instance = self._make_instance(name)
        bind_instance(instance, self.topology[name], self._options.host, self._bound.get(name))
        self._bound[name] = instance.addresses(self._reached())
        self._direct()
        return self._bound[name]

    def adopt(self, topology: Topology, declared: Topology) -> Difference:
        """Takes over what was declared anew; the caller stops, starts and forgets the instances it concerns.

        A service whose listeners are declared as before keeps its ports. UsageError for a .proto that does not compile.
        """
        before = self.topology
        found = difference(before, topology)
        for name in found.changed:
            ports = [[listener.ports for listener in each[name].listeners] for each in (before, topology)]
            if ports[0] != ports[1]:
                self._bound.pop(name, None)
        self.topology, self.declared = topology, declared
        self.order = [name for wave in start_order(topology) for name in wave]
        self.compile()
        return found

    def forget(self, name: str) -> None:
        """Lets go of a service that is declared no more and has ended."""
        self.by_name.pop(name, None)
        self._bound.pop(name, None)
        self.directory.contracts.pop(name, None)
        self._direct()

    def compile(self) -> None:
        """Brings stubs and descriptors up to date with the .proto files; UsageError for one that does not compile."""
        shared = stubs_of(self.topology.protos, self._generated)
        self._stubs = {service.name: (*stubs_of(service.protos, self._generated), *shared) for service in self.declared}

    def recompile(self) -> None:
        """The same while instances live: those that look later find the new ones."""
        self.compile()
        self._direct()

    @property
    def _generated(self) -> Path:
        return self.topology.folder / ".mesh" / "protos"

    def learn(self, name: str) -> list[str]:
        """Notes the contract behind a service's servicers, for those who call it.

        Returns the services that serve that contract at a door of their own, where it is not the one they knew.
        """
        handlers = self.by_name[name].handlers
        if handlers is None or not handlers.services:
            return []
        known, contract = self.directory.contracts.get(name), handlers.contract()
        self.directory.contracts[name] = contract
        if known is None or _described(known) == _described(contract):
            return []
        return [each.name for each in self.topology if each.http and name in each.http.contracts]

    def affected_services(self, files: frozenset[Path]) -> dict[str, str]:
        """Which services have to load their code anew after these files changed, each with the names of its files."""
        edit = ChangeSet(files)
        found = {}
        for service in self.topology:
            protos = (*service.protos, *self.topology.protos)
            why = edit.affects(service, self.by_name[service.name], protos, self._generated)
            # A mounted contract is learned from its service; where that does not run here, from the files alone.
            mounts = service.http.contracts if service.http else ()
            absent = [name for name in mounts if name not in self.by_name or self.by_name[name].handlers is None]
            mounted = edit.within((*(p for name in absent for p in self.declared[name].protos), *self.topology.protos))
            if why := why or (", ".join(sorted({file.name for file in mounted})) if absent else ""):
                found[service.name] = why
        return found

    def replay(self, name: str) -> None:
        """Asks the service's last safe request again, in a thread of its own, and tells what has changed."""
        exchange = self.exchanges.last.get(name) if self.exchanges is not None else None
        if exchange is None or exchange.kind not in self._bound[name]:
            return
        address, contract = self._bound[name][exchange.kind][0], self.directory.contracts.get(name)

        def ask() -> None:
            self._journal.append(Line(name, replay(exchange, address, contract), "mesh"))

        threading.Thread(target=ask, name="replay", daemon=True).start()

    def folders(self) -> set[Path]:
        """What is to be watched for changes."""
        roots = {service.root for service in self.topology if service.root}
        return {
            self.topology.folder,
            *roots,
            *self.topology.protos,
            *(p for each in self.topology for p in (*each.protos, *python_path(each))),
        }

    def _roots(self, service: Service) -> list[Path]:
        return [
            *([service.root] if service.root else []),
            *(stubs.root for stubs in self._stubs.get(service.name, ())),
        ]

    def _reached(self) -> str:
        """The host under which listeners are reached from here."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._options.host, self._options.host)

    def _direct(self) -> None:
        """Tells everybody where everybody is."""
        running = {(name, kind): found[0] for name, bound in self._bound.items() for kind, found in bound.items()}
        descriptors = {name: tuple(stubs.descriptors for stubs in each) for name, each in self._stubs.items()}
        contracts = self.directory.contracts
        self.directory = Directory.of(self.declared, running, descriptors, contracts)
        self.isolation.names.point(self.directory.names(self.declared))
        for instance in self.by_name.values():
            instance.context.directory = self.directory

    def _make_instance(self, name: str) -> ThreadInstance | CommandInstance:
        service = self.declared[name]
        context = ServiceContext(
            name,
            service.root or self.topology.folder,
            self._options.data,
            directory=self.directory,
            journal=self._journal,
            connections=Connections(),
            exchanges=self.exchanges,
            state=self._states.setdefault(name, {}),
        )
        if service.command or service.isolation == "process" or self._options.processes:
            # Late: a start without such a service does not pay for them.
            from mesh.runtime.instances.command import CommandInstance
            from mesh.runtime.instances.process import ProcessInstance

            if service.command:
                return CommandInstance(service, context, self.declared, self._post)
            return ProcessInstance(service, context, self.declared, self._post, self._options.watch)
        return ThreadInstance(
            service, context, self.isolation, lambda: self._roots(service), self._post, self._options.held
        )


def _described(contract: Contract) -> set[bytes]:
    """The files that declare it."""
    return {method.descriptor.containing_service.file.serialized_pb for method in contract}
