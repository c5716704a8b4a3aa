"""The instances of a topology, their dependencies, and their addresses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh import descriptors
from mesh.calling.connections import Connections
from mesh.hosting.imports.module_keys import is_supported
from mesh.hosting.isolation import Isolation
from mesh.hosting.packages.environments import virtualenv_of
from mesh.observing.exchanges import Exchanges
from mesh.observing.journal import Journal, Line
from mesh.observing.lines import line_here
from mesh.runtime import thread_limit
from mesh.runtime.addresses import Addresses, ServiceAddresses
from mesh.runtime.contracts import Contracts
from mesh.runtime.instances.ports import Patience, bind_all, bind_instance
from mesh.runtime.instances.second_copies import second_copies
from mesh.runtime.instances.thread import ThreadInstance
from mesh.runtime.messages import Message, ServiceCommand
from mesh.runtime.options import Options
from mesh.runtime.reload.change_set import ChangeSet, python_path
from mesh.service import ServiceContext
from mesh.topology.difference import Difference, difference
from mesh.topology.model import GRPC_WORKERS, Service, Topology
from mesh.topology.selection import Selection, start_order

if TYPE_CHECKING:
    from mesh.runtime.instances.command import CommandInstance
    from mesh.runtime.launching.zygote import Zygote


#: Seconds that a container engine gives an image to stop.
IMAGE_GRACE = 10.0


class ServiceInstances:
    """One instance for each service that runs here, replaced when it has ended.

    order: names, each after its dependencies. living: names of the instances that were started and whose end has not
    been reported yet; maintained by the loop.
    """

    def __init__(
        self, selection: Selection, options: Options, journal: Journal, post: Callable[[Message], None]
    ) -> None:
        self.selection = selection
        self.order = _flat(start_order(selection.running))
        alone = len(selection.running.services) == 1
        self.isolation = Isolation(
            lambda name, stream, text: journal.append(line_here(name, stream, text)),
            alone,
            options.redirect_process,
            lambda name: post(ServiceCommand(name, "stop")),
            selection.running.folder if options.watch else None,
            options.affinity,
        )
        self._needs_processes = not alone and not is_supported()
        #: Services that get a process of their own although nothing declares it, and why.
        self._apart = self._services_apart(options)
        self.addresses = Addresses(options.host, self.isolation.names)
        self.contracts = Contracts(selection.running.folder / ".mesh" / "protos")
        self.exchanges = Exchanges() if options.replay else None
        self._options = options
        self._journal = journal
        self._post = post
        self._states: dict[str, dict[str, Any]] = {}
        self._zygote: Zygote | None = None
        self.living: set[str] = set()
        self.by_name = {service.name: self._make_instance(service.name) for service in selection.running}

    def _services_apart(self, options: Options) -> dict[str, str]:
        declared = self.selection.declared
        if not all(each.is_named for each in declared):
            return {}
        found = {**second_copies(self.topology, declared), **options.crashed}
        return {each.name: found[each.name] for each in self.topology if each.name in found and each.isolation is None}

    def remarks(self) -> Iterator[Line]:
        """Yield what is to be said about the processes that services get."""
        if self._needs_processes:
            text = "this Python finds modules in a way unknown to mesh: each service gets its own process"
            yield Line("mesh", text, "mesh")
        for name, why in self._apart.items():
            yield Line(name, why, "mesh")

    @property
    def topology(self) -> Topology:
        """Return the part that runs here, as now declared."""
        return self.selection.running

    def grace(self, name: str) -> float:
        """Return the seconds that the service's calls in flight, or its process, get when it stops."""
        return self._grace_of(self.by_name[name].service)

    def _grace_of(self, service: Service) -> float:
        if service.grace is not None:
            return service.grace
        return max(self._options.grace, IMAGE_GRACE) if service.image else self._options.grace

    @property
    def longest_grace(self) -> float:
        return max(map(self.grace, self.by_name), default=0.0)

    def bind(self, patience: Patience) -> dict[str, ServiceAddresses]:
        """Bind every port, all or nothing; return each service's addresses."""
        descriptors.check(len(self.by_name), sum(len(each.listeners) for each in self.topology))
        thread_limit.check(len(self.by_name))
        bind_all(self.topology, self.by_name, self._options.host, patience)
        try:
            for name, instance in self.by_name.items():
                self.addresses.record(name, instance.addresses(self.addresses.reached_host))
            self._publish()
        except BaseException:
            self.release(self.by_name)
            raise
        return {name: self.addresses.of(name) for name in self.by_name}

    def release(self, names: Iterable[str]) -> None:
        """Release the ports of instances that were never started."""
        for name in names:
            self.by_name[name].release()

    def close(self) -> None:
        """End what serves several instances, when all of them have ended."""
        if self._zygote is not None:
            self._zygote.close()

    def replace(self, name: str) -> ServiceAddresses:
        """Replace an instance that has ended, on the same ports; raises PortError if one was taken since."""
        self.by_name[name] = instance = self._make_instance(name)
        bind_instance(instance, self.topology[name], self._options.host, self.addresses.of(name))
        self.addresses.record(name, instance.addresses(self.addresses.reached_host))
        self._publish()
        return self.addresses.of(name)

    def adopt(self, selection: Selection) -> Difference:
        """Adopt an edited declaration; the caller stops, starts and drops the instances that it affects.

        A service whose listeners are declared as before keeps its ports. Raises UsageError for a .proto that does not
        compile.
        """
        before = self.topology
        found = difference(before, selection.running)
        for name in found.changed:
            ports = [[listener.ports for listener in each[name].listeners] for each in (before, selection.running)]
            if ports[0] != ports[1]:
                self.addresses.forget(name)
        self.selection = selection
        self.order = _flat(start_order(selection.running))
        self._apart = self._services_apart(self._options)
        self.contracts.compile(selection)
        if self._zygote is not None:
            self._zygote.renew()  # The names in its variables may be others.
        return found

    def forget(self, name: str) -> None:
        """Drop a service that is no longer declared and has ended."""
        self.by_name.pop(name, None)
        self.addresses.forget(name)
        self.contracts.forget(name)
        self._publish()

    def recompile(self) -> None:
        """Compile changed .proto files while services run: later loads use the new ones."""
        self.contracts.compile(self.selection)
        self._publish()

    def learn(self, name: str) -> list[str]:
        """Record the facts about a service that became ready; return the services that serve its contract too.

        Those must reload.
        """
        instance = self.by_name[name]
        has_opened = self.addresses.record(name, instance.addresses(self.addresses.reached_host))
        if self.addresses.encrypt(name, instance.encrypted) or has_opened:
            self._publish()
        if not self.contracts.learn(name, instance.handlers):
            return []
        return [each.name for each in self.topology if each.http and name in each.http.contracts]

    def affected_services(self, files: frozenset[Path]) -> dict[str, tuple[str, bool]]:
        """Return the services that must reload after these files changed.

        Each with the names of its files, and whether files other than its modules are among them.
        """
        edit = ChangeSet(files)
        found = {}
        for service in self.topology:
            protos = (*service.protos, *self.topology.protos)
            why = edit.affects(service, self.by_name[service.name], protos, self.contracts.generated)
            # A mounted contract is learned from its service; if that does not run here, from the files only.
            mounts = service.http.contracts if service.http else ()
            absent = [name for name in mounts if name not in self.by_name or self.by_name[name].handlers is None]
            mounted = edit.within(
                (*(p for name in absent for p in self.selection.declared[name].protos), *self.topology.protos)
            )
            if why or (mounted and absent):
                why = why or ", ".join(sorted({file.name for file in mounted}))
                is_code = edit.is_code_of(service, self.by_name[service.name])
                found[service.name] = (why, bool(mounted) or not is_code)
        return found

    def replay(self, name: str) -> None:
        """Repeat the service's last safe request, in a separate thread, and report the differences."""
        exchange = self.exchanges.last.get(name) if self.exchanges is not None else None
        addresses = self.addresses.of(name)
        if exchange is None or exchange.kind not in addresses:
            return
        address, contract = addresses[exchange.kind][0], self.contracts.known.get(name)
        tls = exchange.kind in self.by_name[name].encrypted

        def ask() -> None:
            from mesh.runtime.reload.replay import replay  # few edits are followed by one

            self._journal.append(Line(name, replay(exchange, address, contract, tls), "mesh"))

        threading.Thread(target=ask, name="replay", daemon=True).start()

    def workers_of(self, name: str) -> int:
        """Return how many threads the service's gRPC listener has for plain methods."""
        instance = self.by_name.get(name)
        return instance.service.grpc.workers if instance is not None and instance.service.grpc else GRPC_WORKERS

    def folders(self) -> set[Path]:
        """Return the folders and files to watch."""
        roots = {service.root for service in self.topology if service.root}
        return {
            self.topology.folder,
            *roots,
            *self.topology.protos,
            *(p for each in self.topology for p in (*each.protos, *python_path(each))),
        }

    def _publish(self) -> None:
        self.addresses.publish(self.selection, self.contracts, [each.context for each in self.by_name.values()])
        self.isolation.forks.ports |= self.addresses.ports()

    def _roots(self, service: Service) -> list[Path]:
        return [*([service.root] if service.root else []), *self.contracts.stub_folders(service.name)]

    def _make_instance(self, name: str) -> ThreadInstance | CommandInstance:
        declared = self.selection.declared
        service = declared[name]
        context = ServiceContext(
            name,
            service.root or self.topology.folder,
            self._options.data,
            directory=self.addresses.directory,
            journal=self._journal,
            connections=Connections(),
            exchanges=self.exchanges,
            state=self._states.setdefault(name, {}),
        )
        if service.is_process or service.isolation == "process" or self._is_kept_apart(name):
            # Imported late: a start without such a service does not need them.
            from mesh.runtime.instances.command import CommandInstance
            from mesh.runtime.instances.process import ProcessInstance

            grace = self._grace_of(service)
            if service.image:
                from mesh.runtime.instances.image import ImageInstance

                return ImageInstance(service, context, declared, self._post, grace)
            if service.command:
                return CommandInstance(service, context, declared, self._post, grace)
            return ProcessInstance(
                service, context, declared, self._post, grace, self._zygote_of(), self._options.watch
            )
        return ThreadInstance(
            service,
            context,
            self.isolation,
            lambda: self._roots(service),
            lambda: virtualenv_of(service, declared),
            self._post,
            self._options.held,
            self._options.host,
        )

    def _zygote_of(self) -> Zygote:
        if self._zygote is None:
            from mesh.runtime.launching.zygote import Zygote

            self._zygote = Zygote(lambda text: self._journal.append(Line("mesh", text, "mesh")))
        return self._zygote

    def _is_kept_apart(self, name: str) -> bool:
        return self._options.processes or self._needs_processes or name in self._apart


def _flat(waves: list[list[str]]) -> list[str]:
    return [name for wave in waves for name in wave]
