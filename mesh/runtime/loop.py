"""Every change of state, one message after the other; nothing else changes any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from mesh.calling.connections import warm_up
from mesh.errors import MeshError
from mesh.runtime.board import Board
from mesh.runtime.ending import Ending
from mesh.runtime.fleet import Fleet
from mesh.runtime.messages import Changed, Ended, Failed, Kept, Live, Message, Ready, Steer, Stop
from mesh.runtime.options import Options
from mesh.runtime.retries import Retries
from mesh.topology.model import Topology

#: How many services start at once: more threads only hand the GIL to and fro (docs/benchmarks.md).
AT_ONCE = 4
#: Seconds from which on a start keeps no other waiting: it waits for something itself.
FRESH = 0.25


class Loop:
    """What the supervisor does with each message, and when time runs out. All of it runs in the supervisor's thread.

    settled: set when every service is ready or has failed. read_again: see Supervisor.
    """

    def __init__(
        self,
        fleet: Fleet,
        board: Board,
        options: Options,
        read_again: Callable[[], tuple[Topology, Topology]] | None = None,
    ) -> None:
        self.settled = threading.Event()
        self._fleet = fleet
        self._board = board
        self._options = options
        self._read_again = read_again
        self._ending = Ending(fleet, board, options.grace)
        self._retries = Retries()
        #: What is to follow the end of a service whose declaration has changed.
        self._after_end: dict[str, Literal["forget", "start"]] = {}
        #: When each service was started, on the monotonic clock.
        self._launched: dict[str, float] = {}

    @property
    def exit_status(self) -> int:
        """What whoever asked for the end wants the process to end with."""
        return self._ending.exit_status

    def begin(self) -> None:
        """Starts what depends on nothing; the rest follows as those become ready."""
        self._board.enter("starting")
        self._start_what_can()

    def handle(self, message: Message) -> None:
        match message:
            case Ready(name):
                self._arrive(name)
            case Live(name, why, milliseconds, how):
                self._arrive(name)
                self._board.say(name, f"{how} in {milliseconds:.0f} ms  ({why})")
                self._fleet.replay(name)
            case Kept(name, reason, trace):
                self._board.keep(name, reason, trace)
            case Failed(name, reason, trace, again):
                self._fail(name, reason, trace, again)
            case Ended(name, reason, trace):
                self._end(name, reason, trace)
            case Changed(files):
                self._reload(files)
            case Steer(name, what):
                self._steer(name, what)
            case Stop(_, exit_status):
                self._ending.begin(exit_status)

    def _start_what_can(self) -> None:
        """Starts waiting units whose dependencies are settled, a few at once; notes when all of them are."""
        if self._board.snapshot.phase != "starting":
            return
        unsettled = self._board.snapshot.named("waiting", "starting")
        for name in self._fleet.order:
            if len(self._fresh()) >= AT_ONCE:
                break
            if self._board.snapshot[name].state == "waiting" and not unsettled & set(
                self._fleet.topology[name].depends_on
            ):
                self._launch(name)
        if not unsettled:
            self._board.enter("running")
            self.settled.set()
            warm_up()

    def _fresh(self) -> list[float]:
        """When each of the starts will be old that others are to wait for."""
        now = time.monotonic()
        old = [self._launched[name] + FRESH for name in self._board.snapshot.named("starting")]
        return [at for at in old if at > now]

    def _launch(self, name: str) -> None:
        self._board.set(name, state="starting")
        self._launched[name] = time.monotonic()
        self._fleet.living.add(name)
        self._fleet.units[name].start()

    def _arrive(self, name: str) -> None:
        """A generation serves: what was wrong before is over, and who serves its contract serves the new one."""
        if self._board.snapshot[name].state == "stopping":
            return
        served_by = self._fleet.learn(name)
        self._board.set(name, state="ready", reason=None, generation=self._board.snapshot[name].generation + 1)
        for other in self._board.snapshot.named("ready", "starting").intersection(served_by):
            self._fleet.units[other].reload(f"the contract of {name}")
        self._start_what_can()

    def _fail(self, name: str, reason: str, trace: str, again: bool = False) -> None:
        pause = self._retries.failed(name, time.monotonic()) if again else None
        if again:
            reason += f"; tried again in {pause:.1f} s" if pause else "; given up, `mesh restart` tries again"
        self._board.fail(name, reason, trace)
        self._start_what_can()

    def _end(self, name: str, reason: str | None, trace: str) -> None:
        """A unit is gone: as asked, or by itself, and then it is started again."""
        self._fleet.living.discard(name)
        asked = self._board.snapshot.phase == "stopping" or self._board.snapshot[name].state == "stopping"
        if reason is not None and not asked:
            self._fail(name, reason, trace, again=True)
            return
        self._board.set(name, state="stopped")
        self._ending.go_on()
        self._start_what_can()
        match self._after_end.pop(name, None) if self._board.snapshot.phase != "stopping" else None:
            case "forget":
                self._fleet.forget(name)
                self._board.remove(name)
            case "start":
                self._revive(name)

    def _revive(self, name: str) -> None:
        """Starts a service that failed or was stopped: a living unit loads its code anew, a gone one is made anew."""
        if name in self._fleet.living:
            self._board.set(name, state="starting")
            self._launched[name] = time.monotonic()
            self._fleet.units[name].reload("")
            return
        try:
            self._board.place(name, self._fleet.renew(name))
        except MeshError as error:
            self._fail(name, str(error), "", again=True)
        else:
            self._launch(name)

    def _steer(self, name: str, what: str) -> None:
        """Does what somebody asked of one service."""
        state = self._board.snapshot[name].state
        self._retries.forget(name)
        if what == "stop" and name not in self._fleet.living:
            self._board.set(name, state="stopped", reason=None)
        elif what == "stop" and state != "stopping":
            self._board.set(name, state="stopping", reason=None)
            self._fleet.units[name].stop(self._options.grace)
        elif what != "stop" and state == "stopping":
            self._after_end[name] = "start"
        elif state == "ready" and what == "restart":
            self._fleet.units[name].reload("restart")
        elif state in ("failed", "stopped"):
            self._revive(name)

    def _reload(self, files: frozenset[Path]) -> None:
        """Loads what the changed files concern; a service that failed is tried again at any change below its root.

        What is wrong with a declaration or a .proto does not keep the rest from being loaded.
        """
        source = self._fleet.topology.source
        new: frozenset[str] = frozenset()
        try:
            if source is not None and source.resolve() in files:
                new = self._declare_again()
        except MeshError as error:
            self._board.say("mesh", str(error))
        try:
            if any(file.suffix == ".proto" for file in files):
                self._fleet.recompile()
        except MeshError as error:
            self._board.say("mesh", str(error))
            files = frozenset(file for file in files if file.suffix != ".proto")
        for name, why in self._fleet.concerned(files).items():
            if name in new:
                continue
            self._retries.forget(name)
            if self._board.snapshot[name].state in ("ready", "starting"):
                self._fleet.units[name].reload(why)
            elif self._board.snapshot[name].state == "failed":
                self._revive(name)

    def _declare_again(self) -> frozenset[str]:
        """Starts, stops and starts anew what the changed file declares otherwise, and nothing else.

        Returns the services that it declares for the first time.
        """
        if self._read_again is None:
            return frozenset()
        declared, selected = self._read_again()
        found = self._fleet.adopt(selected, declared)
        for name in found.added:
            self._board.add(name)
            self._revive(name)
        for name in found.gone | found.changed:
            self._after_end[name] = "forget" if name in found.gone else "start"
            self._retries.forget(name)
            if name in self._fleet.living:
                self._board.set(name, state="stopping", reason=None)
                self._fleet.units[name].stop(self._options.grace)
            else:
                self._end(name, None, "")
        return found.added

    def patience(self) -> float | None:
        """Seconds until something is to be done though nothing is said; None while there is no such thing."""
        if self._ending.begun:
            return self._ending.patience()
        times = [self._late_from(name) for name in self._board.snapshot.named("starting")]
        times += self._retries.due.values()
        if self._board.snapshot.phase == "starting" and self._board.snapshot.named("waiting"):
            times += self._fresh()
        return max(0.0, min(times) - time.monotonic()) if times else None

    def out_of_time(self) -> None:
        """Tries again what was to be tried by now, and names what has not started."""
        if self._ending.begun:
            self._ending.insist()
            return
        now = time.monotonic()
        for name in self._retries.taken(now):
            self._revive(name)
        for name in self._board.snapshot.named("starting"):
            if self._late_from(name) <= now:
                where = self._fleet.units[name].stands_at()
                self._fail(name, f"has not started within {self._options.start_within:g} s", where)
        self._start_what_can()

    def _late_from(self, name: str) -> float:
        return self._launched[name] + self._options.start_within
