"""Runs a topology: one queue is its only input, a frozen snapshot its only output."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from mesh.calling.contract_lookup import contract_of
from mesh.contract import Contract
from mesh.observing.journal import Journal
from mesh.runtime.diagnostics.holds import Holds
from mesh.runtime.diagnostics.watchdog import Watchdog, Watched
from mesh.runtime.instances.ports import Patience
from mesh.runtime.loop import Loop
from mesh.runtime.messages import Message, Ready, Snapshot, Stop
from mesh.runtime.options import Options
from mesh.runtime.reload.watcher import Watcher
from mesh.runtime.service_instances import ServiceInstances
from mesh.runtime.start_times import StartTimes
from mesh.runtime.status import Status
from mesh.service import ServiceContext
from mesh.topology.directory import Directory
from mesh.topology.model import Topology
from mesh.topology.selection import Selection, select


class Supervisor:
    """`bind()`, then `run()` until a Stop is posted; or `start()` and `stop()` around it, from a test.

    topology: what runs here: all of it, or a part that `select` chose. reread: makes the selection again when the file
    that declares it has changed.
    """

    def __init__(
        self,
        topology: Topology | Selection,
        options: Options | None = None,
        reread: Callable[[], Selection] | None = None,
    ) -> None:
        selection = topology if isinstance(topology, Selection) else select(topology)
        self.options = options or Options()
        self.journal = Journal(is_recording=self.options.record)
        #: True if something did not end in time, so that only the end of the process will end it.
        self.has_unfinished_work = False
        self.times = StartTimes()
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._status = Status(selection.running.name, [each.name for each in selection.running], self.journal)
        self._instances = ServiceInstances(selection, self.options, self.journal, self.post)
        self._loop = Loop(self._instances, self._status, self.options, reread)
        self._thread: threading.Thread | None = None

    @property
    def topology(self) -> Topology:
        """Return the part that runs here, as now declared."""
        return self._instances.topology

    @property
    def settled(self) -> threading.Event:
        """Set when every service is ready or has failed, or when the end came first."""
        return self._loop.settled

    @property
    def snapshot(self) -> Snapshot:
        """Return the newest snapshot; safe from any thread."""
        return self._status.snapshot

    @property
    def directory(self) -> Directory:
        """Return the addresses of every listener, complete once `bind()` has returned."""
        return self._instances.addresses.directory

    @property
    def grace(self) -> float:
        """Return the seconds that calls in flight get when all stop: those of the service that gives them most."""
        return self._instances.longest_grace

    def post(self, message: Message) -> None:
        """Hand the loop a message; safe from any thread and from a signal handler."""
        if isinstance(message, Ready):
            self.times.arrived(message)
        self._queue.put(message)

    def bind(self, notify: Callable[[str], None] | None = None) -> None:
        """Compile the .proto files and bind every port, in the calling thread.

        Raises PortError, with none left bound, if one is taken.

        notify: takes a sentence about a port that is waited for; by default, it becomes a line of mesh.
        """
        self._instances.contracts.compile(self._instances.selection)
        self.times.end_phase("protos")
        patience = Patience(notify or (lambda text: self._status.log("mesh", text)))
        for name, addresses in self._instances.bind(patience).items():
            self._status.set_addresses(name, addresses)
        self.times.end_phase("ports")

    def signal_arrived(self, number: int) -> None:
        """Pass on an outside signal that does not stop mesh to the services that handle it."""
        self._instances.isolation.signals.arrived(number)

    def warn(self, text: str) -> None:
        """Write a line of mesh's own."""
        self._status.log("mesh", text)

    def keep_from_children(self, port: int) -> None:
        """Keep the sockets of mesh's own port, bound before `run()`, out of processes that services fork."""
        self._instances.isolation.forks.ports |= {port}

    def rerouted_output(self) -> AbstractContextManager[None]:
        """Return what routes the process's streams of now in its block; see `Output.rerouted`."""
        return self._instances.isolation.output.rerouted()

    def run(self) -> int:
        """Start, loop and stop in the calling thread; return the exit status."""
        with self._instances.isolation, self._watching():
            self.times.end_phase("set-up")
            for line in self._instances.remarks():
                self.journal.append(line)
            self._loop.begin()
            while self.snapshot.phase != "stopped":
                try:
                    self._loop.handle(self._queue.get(timeout=self._loop.seconds_left()))
                except queue.Empty:
                    self._loop.out_of_time()
        self._instances.release(self.snapshot.in_state("waiting"))
        self._instances.close()
        self.settled.set()
        self.has_unfinished_work = bool(self.journal.in_flight or self.snapshot.in_state("stopping"))
        failed = any(service.reason for service in self.snapshot.services)
        return 1 if failed else self._loop.exit_status

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Watch the loops and, if enabled, the files."""
        instances = self._instances

        def by_name() -> dict[str, Watched]:
            return dict(instances.by_name)

        alone = threading.current_thread() is threading.main_thread()
        watchdog = Watchdog(
            by_name, self.journal.in_flight, instances.workers_of, self._status.log, alone, instances.isolation.look
        )
        watching: list[Watchdog | Holds | Watcher] = [watchdog]
        if self.options.holds:
            watching.append(Holds(by_name, watchdog.services_by_thread, self.journal.append, self._status.log))
        if self.options.watch:
            watching.append(Watcher(self._instances.folders, self.post, lambda text: self._status.log("mesh", text)))
        for each in watching:
            each.start()
        try:
            yield
        finally:
            for each in watching:
                each.stop()

    def start(self) -> None:
        """Bind and run in a separate thread; return when every service is ready or has failed."""
        self.bind()
        self._thread = threading.Thread(target=self.run, name="mesh", daemon=True)
        self._thread.start()
        self.settled.wait()

    def stop(self) -> None:
        """End what `start()` began, and wait for it."""
        if self._thread is not None:
            self.post(Stop("requested", 0))
            self._thread.join()

    def failures(self) -> list[str]:
        """Return the reason and traceback of every service that failed."""
        return [
            f"{each.name} failed to start: {each.reason}\n{self._status.traces.get(each.name, '')}"
            for each in self.snapshot.services
            if each.state == "failed"
        ]

    def contract(self, service: str) -> Contract:
        """Return the contract of a service's gRPC listener: as its running servicers report it, else as declared."""
        return contract_of(service, self.directory)

    def context(self, service: str) -> ServiceContext:
        """Return a running service as its own code sees it."""
        return self._instances.by_name[service].context

    def reset(self) -> None:
        """Restore the initial content of every service."""
        for instance in self._instances.by_name.values():
            instance.reset()
