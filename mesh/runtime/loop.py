"""The supervisor's loop: makes every change of state, one message after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from mesh.calling.connections import warm_up
from mesh.errors import MeshError
from mesh.runtime.instances.ports import PortError
from mesh.runtime.late_stops import LateStops
from mesh.runtime.messages import (
    Changed,
    Done,
    Ended,
    Failed,
    Message,
    Ready,
    Reloaded,
    ReloadFailed,
    ServiceCommand,
    Stop,
)
from mesh.runtime.options import Options
from mesh.runtime.reload.own_writes import ROUNDS, OwnWrites
from mesh.runtime.restart_policy import RestartPolicy
from mesh.runtime.service_instances import ServiceInstances
from mesh.runtime.shutdown import Shutdown
from mesh.runtime.status import Status
from mesh.topology.difference import edits
from mesh.topology.selection import Selection

#: How many services start at once: more threads only compete for the GIL (docs/benchmarks.md).
MAX_CONCURRENT_STARTS = 4
#: Seconds after which a start no longer delays the others: it is waiting for something.
START_GRACE_SECONDS = 0.25
#: How many times as long as other services an image or a command may take to start; it is told after the usual time.
PATIENCE = 6


class Loop:
    """Handles each message, and timeouts. All of it runs in the supervisor's thread.

    settled: set when every service is ready or has failed. reread: see Supervisor.
    """

    def __init__(
        self,
        instances: ServiceInstances,
        status: Status,
        options: Options,
        reread: Callable[[], Selection] | None = None,
    ) -> None:
        self.settled = threading.Event()
        self._instances = instances
        self._status = status
        self._options = options
        self._reread = reread
        self._shutdown = Shutdown(instances, status)
        self._restart_policy = RestartPolicy()
        #: What follows the end of a service whose declaration has changed.
        self._after_end: dict[str, Literal["forget", "start"]] = {}
        self._own_writes = OwnWrites()
        self._late_stops = LateStops()
        #: When each service was started, on the monotonic clock.
        self._launched: dict[str, float] = {}
        #: Those of which it was told that they take long.
        self._told: set[str] = set()

    @property
    def exit_status(self) -> int:
        """Return the exit status requested with the stop."""
        return self._shutdown.exit_status

    def begin(self) -> None:
        """Start the services without dependencies; the others follow as those become ready."""
        self._status.set_phase("starting")
        self._start_what_can()

    def handle(self, message: Message) -> None:
        if isinstance(message, Ready | Reloaded | ReloadFailed | Failed):
            self._own_writes.ended(message.service, getattr(message, "milliseconds", 0.0))
        match message:
            case Ready(name):
                self._arrive(name)
            case Reloaded(name, why, milliseconds, how, executed, modules):
                self._arrive(name)
                what = f"{why}; {executed} of {modules} module{'s' * (modules != 1)}" if modules else why
                self._status.log(name, f"{how} in {milliseconds:.0f} ms  ({what})")
                self._instances.replay(name)
            case ReloadFailed(name, reason, trace):
                self._status.mark_stale(name, reason, trace)
            case Failed(name, reason, trace, again):
                self._fail(name, reason, trace, again)
            case Done(name, milliseconds):
                self._finish(name, milliseconds)
            case Ended(name, reason, trace, again):
                self._end(name, reason, trace, again)
            case Changed(files):
                self._reload(files)
            case ServiceCommand(name, what):
                self._obey(name, what)
            case Stop(_, exit_status):
                self._shutdown.start(exit_status)

    def _start_what_can(self) -> None:
        """Start waiting instances whose dependencies are settled, a few at once; notice when all of them are."""
        if self._status.snapshot.phase != "starting":
            return
        unsettled = self._status.snapshot.in_state("waiting", "starting")
        topology = self._instances.topology
        free = MAX_CONCURRENT_STARTS - len(self._starts_in_grace())
        for name in self._instances.order:
            if free <= 0:
                break
            waits = self._status.snapshot[name].state == "waiting"
            if waits and not unsettled.intersection(topology.needs(topology[name])):
                self._launch(name)
                free -= 1
        if not unsettled:
            self._status.set_phase("running")
            self.settled.set()
            warm_up()

    def _starts_in_grace(self) -> list[float]:
        """Return when each of the starts will no longer delay others."""
        now = time.monotonic()
        old = [self._launched[name] + START_GRACE_SECONDS for name in self._status.snapshot.in_state("starting")]
        return [at for at in old if at > now]

    def _launch(self, name: str) -> None:
        self._status.set(name, state="starting")
        self._began(name)
        self._own_writes.began(name)
        self._instances.living.add(name)
        self._instances.by_name[name].start()

    def _began(self, name: str) -> None:
        self._launched[name] = time.monotonic()
        self._told.discard(name)

    def _arrive(self, name: str) -> None:
        """Handle a new generation: clear earlier errors, and tell the services that serve its contract."""
        if self._status.snapshot[name].state == "stopping":
            return
        served_by = self._instances.learn(name)
        self._status.set_addresses(name, self._instances.addresses.of(name))
        tls, generation = self._instances.addresses.encrypted(name), self._status.snapshot[name].generation + 1
        self._status.set(name, state="ready", reason=None, tls=tls, generation=generation)
        for other in self._status.snapshot.in_state("ready", "starting").intersection(served_by):
            self._instances.by_name[other].reload(f"the contract of {name}")
        self._start_what_can()

    def _finish(self, name: str, milliseconds: float) -> None:
        """Handle a command that has done its work: start its dependants; it runs again only on request."""
        if self._status.snapshot[name].state == "stopping" or self._status.snapshot.phase == "stopping":
            self._end(name, None, "")
            return
        self._instances.living.discard(name)
        self._restart_policy.forget(name)
        self._status.log(name, f"done in {milliseconds:.0f} ms")
        self._status.set(name, state="done", reason=None, generation=self._status.snapshot[name].generation + 1)
        self._start_what_can()

    def _fail(self, name: str, reason: str, trace: str, again: bool = False) -> None:
        pause = self._restart_policy.failed(name, time.monotonic()) if again else None
        if again:
            gave_up = f"gave up after {self._restart_policy.tries + 1} attempts; `mesh restart {name}` retries"
            reason += f"; retrying in {pause:.1f} s" if pause else f"; {gave_up}"
        self._status.fail(name, reason, trace)
        self._start_what_can()

    def _end(self, name: str, reason: str | None, trace: str, again: bool = True) -> None:
        """Handle the end of an instance: as requested, or unexpected, and then restart it."""
        self._instances.living.discard(name)
        stops = self._status.snapshot[name].state == "stopping" or name in self._late_stops
        asked = self._status.snapshot.phase == "stopping" or stops
        if reason is not None and not asked:
            self._fail(name, reason, trace, again)
            return
        kept = None if name in self._late_stops else self._status.snapshot[name].reason
        self._late_stops.ended(name)
        self._status.set(name, state="stopped", reason=kept)
        self._shutdown.advance()
        self._start_what_can()
        match self._after_end.pop(name, None) if self._status.snapshot.phase != "stopping" else None:
            case "forget":
                self._instances.forget(name)
                self._own_writes.forget(name)
                self._status.remove(name)
            case "start":
                self._start_again(name)

    def _stop(self, name: str) -> None:
        self._status.set(name, state="stopping", reason=None)
        grace = self._instances.grace(name)
        self._instances.by_name[name].stop(grace)
        self._late_stops.began(name, time.monotonic() + grace)

    def _start_again(self, name: str) -> None:
        """Start a service that failed or was stopped: reload a running instance, replace one that has ended."""
        if name in self._late_stops:
            self._after_end[name] = "start"
            return
        if name in self._instances.living:
            self._status.set(name, state="starting")
            self._began(name)
            self._instances.by_name[name].reload("")
            return
        try:
            self._status.set_addresses(name, self._instances.replace(name))
        except MeshError as error:
            passes = isinstance(error, PortError) and error.passes
            if passes and self._restart_policy.waits(name, time.monotonic()):
                self._status.fail(name, f"{error}; waiting for it", "")
            else:
                self._fail(name, str(error), "", again=True)
        else:
            self._restart_policy.bound(name)
            self._launch(name)

    def _obey(self, name: str, what: str) -> None:
        """Carry out a command for one service."""
        state = self._status.snapshot[name].state
        self._restart_policy.forget(name)
        if what == "stop" and name not in self._instances.living:
            self._status.set(name, state="stopped", reason=None)
        elif what == "stop" and state != "stopping":
            self._stop(name)
        elif what != "stop" and state == "stopping":
            self._after_end[name] = "start"
        elif state == "ready" and what == "restart":
            self._instances.by_name[name].reload("restart")
        elif state in ("failed", "done", "stopped"):
            self._start_again(name)

    def _reload(self, files: frozenset[Path]) -> None:
        """Reload what the changed files affect; a service that failed is retried at any change below its root.

        A mistake in a declaration or a .proto does not keep the rest from being loaded.
        """
        declared = self._instances.topology
        new: frozenset[str] = frozenset()
        try:
            if any(file.resolve() in files for file in (*declared.files, *filter(None, [declared.source]))):
                new = self._reread_declaration()
        except MeshError as error:
            self._status.log("mesh", str(error))
        try:
            if any(file.suffix == ".proto" for file in files):
                self._instances.recompile()
        except MeshError as error:
            self._status.log("mesh", str(error))
            files = frozenset(file for file in files if file.suffix != ".proto")
        for name, (why, executes_all) in self._instances.affected_services(files).items():
            if name in new:
                continue
            self._restart_policy.forget(name)
            if self._status.snapshot[name].state in ("ready", "starting"):
                if not self._is_put_off(name, why, files):
                    self._load_again(name, why, executes_all)
            elif self._status.snapshot[name].state in ("failed", "done"):
                self._start_again(name)

    def _load_again(self, name: str, why: str, executes_all: bool = True) -> None:
        self._own_writes.began(name)
        self._instances.by_name[name].reload(why, executes_all)

    def _is_put_off(self, name: str, why: str, files: frozenset[Path]) -> bool:
        """Return True for a service that would reload endlessly, because each load writes a file it depends on."""
        rounds = self._own_writes.rounds(name, files)
        if rounds < ROUNDS:
            return False
        pause = self._own_writes.put_off(name, why)
        self._status.log(
            name,
            f"writes {why} each time it is loaded, and is loaded again for that; the next load follows in {pause:g} s. "
            "Write it only when its content changes, or outside the folders that are watched",
        )
        return True

    def _reread_declaration(self) -> frozenset[str]:
        """Stop, start and restart the services that the changed file declares differently, and nothing else.

        Returns the services that it declares for the first time.
        """
        if self._reread is None:
            return frozenset()
        before = self._instances.topology
        found = self._instances.adopt(self._reread())
        for name, text in edits(before, self._instances.topology, found):
            self._status.log(name, text)
        for name in found.added:
            self._status.add(name)
            self._start_again(name)
        for name in found.gone | found.changed:
            self._after_end[name] = "forget" if name in found.gone else "start"
            self._restart_policy.forget(name)
            if name in self._instances.living:
                self._stop(name)
            else:
                self._end(name, None, "")
        return found.added

    def seconds_left(self) -> float | None:
        """Return the seconds until something is due without a message, or None."""
        if self._shutdown.has_started:
            return self._shutdown.seconds_left()
        times = [self._late_from(name) for name in self._due_to_start()]
        times += [self._launched[name] + self._options.start_within for name in self._untold()]
        times += self._restart_policy.due.values()
        times += self._late_stops.due()
        times += [at for at, _ in self._own_writes.due().values()]
        if self._status.snapshot.phase == "starting" and self._status.snapshot.in_state("waiting"):
            times += self._starts_in_grace()
        return max(0.0, min(times) - time.monotonic()) if times else None

    def out_of_time(self) -> None:
        """Retry what is due by now, and report what has not started."""
        if self._shutdown.has_started:
            self._shutdown.force()
            return
        now = time.monotonic()
        for name in self._late_stops.taken(now):
            where = self._instances.by_name[name].current_stack()
            self._fail(name, "has not stopped yet: its code does not end; it starts again only after that", where)
        for name in self._restart_policy.taken(now):
            self._start_again(name)
        for name, (at, why) in self._own_writes.due().items():
            if at <= now:
                self._load_again(name, why)
        for name in self._untold():
            if self._launched[name] + self._options.start_within <= now:
                self._told.add(name)
                self._status.log(name, self._instances.by_name[name].current_stack())
        for name in self._due_to_start():
            if self._late_from(name) <= now:
                where = self._instances.by_name[name].current_stack()
                self._fail(name, f"has not started within {self._limit(name):g} s", where)
        self._start_what_can()

    def _due_to_start(self) -> set[str]:
        """Return the services that are starting in a limited time; a command that ends by itself has no limit."""
        starting = self._status.snapshot.in_state("starting")
        return {name for name in starting if self._instances.topology[name].ready != "done"}

    def _late_from(self, name: str) -> float:
        return self._launched[name] + self._limit(name)

    def _untold(self) -> set[str]:
        """Return the services that are starting and may take longer than others, until that is told of them."""
        return {name for name in self._due_to_start() - self._told if self._limit(name) > self._options.start_within}

    def _limit(self, name: str) -> float:
        """Return the seconds in which the service is expected to start.

        Brokers and databases take longer than code, and so do commands that compile, or wait for others by themselves.
        """
        service = self._instances.topology[name]
        is_slow = service.image is not None or service.command is not None
        return self._options.start_within * (PATIENCE if is_slow else 1)
