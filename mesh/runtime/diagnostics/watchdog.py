"""Reports blocked event loops, and threads that occupy the processor or the GIL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import threading
import time
from asyncio import runners
from collections.abc import Callable, Container, Iterable, Mapping
from types import FrameType
from typing import Protocol

from msgspec import Struct

from mesh.compat.interpreter import current_frames
from mesh.hosting.imports.source_loader import service_of
from mesh.observing.journal import InFlight
from mesh.runtime.diagnostics.gil import GilHolds
from mesh.runtime.diagnostics.held_stacks import HeldStacks
from mesh.runtime.diagnostics.saturation import Saturation
from mesh.runtime.diagnostics.stacks import stack_of

#: Where an idle event loop's thread is: uvloop's waits in C, below the runner.
IDLE = frozenset({selectors.__file__, runners.__file__})


class Watched(Protocol):
    """An instance, as far as its loop is concerned."""

    def loop_and_thread(self) -> tuple[asyncio.AbstractEventLoop, int] | None:
        """Return the loop and its thread; None if there is no loop, or while it loads code, which may take long."""
        ...


class Ping(Struct):
    """A callback sent to a loop. looks: how many checks found it unanswered; a suspended process makes no checks."""

    sent: float
    answered: bool = False
    looks: int = 0

    def answer(self) -> None:
        self.answered = True


class Watchdog:
    """A thread that checks every loop, and wakes only those that are busy.

    instances: the instances to check, by service; called at every check.
    in_flight: the journal's calls in flight. workers_of: see Saturation.
    say: takes a service's name and the text of a report. alone: the process is mesh's only.
    look: called once a second, to look at what else there is.
    """

    #: Seconds between two checks.
    tick = 0.25
    #: Unanswered checks after which a loop is reported: within a second of being blocked.
    blocked_after = 2
    #: Consecutive seconds after which a busy thread is reported.
    busy_after = 3
    #: The share of the process's time, and of all time, that makes a thread count as busy.
    of_process, of_time = 0.6, 0.4

    def __init__(
        self,
        instances: Callable[[], Mapping[str, Watched]],
        in_flight: Mapping[str, InFlight],
        workers_of: Callable[[str], int],
        say: Callable[[str, str], None],
        alone: bool = False,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._look = look
        self._in_flight = in_flight
        self._saturation = Saturation(workers_of, say)
        held = HeldStacks(GilHolds.held_for) if alone else None
        self._gil_holds = GilHolds(self.services_by_thread, lambda: times_of(threading.enumerate()), say, held)
        self._instances = instances
        self._say = say
        self._pings: dict[str, Ping] = {}
        self._busy: dict[int, int] = {}
        self._times: dict[int, float] = {}
        self._spent = time.process_time()
        self._looked = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=2)
        self._gil_holds.close()

    def _watch(self) -> None:
        self._gil_holds.look(0)
        while not self._stop.wait(self.tick):
            self._gil_holds.look(self.tick)
            frames = current_frames()
            loops = {
                name: found for name, instance in self._instances().items() if (found := instance.loop_and_thread())
            }
            for name, (loop, thread) in loops.items():
                self._look_at(name, loop, thread, frames.get(thread))
            self._saturation.look_at(list(self._in_flight.values()))
            if time.monotonic() - self._looked >= 4 * self.tick:
                self._look_at_threads({thread for _, thread in loops.values()}, frames)
                self._look()

    def services_by_thread(self) -> dict[int, str]:
        """Return the name of the service that each thread works for; `mesh` if there is none."""
        found = {thread: owner_of(frame, self._instances()) for thread, frame in current_frames().items()}
        for call in list(self._in_flight.values()):
            found |= dict.fromkeys((call.thread, *call.workers), call.service.name)
        return found

    def _look_at(self, name: str, loop: asyncio.AbstractEventLoop, thread: int, frame: FrameType | None) -> None:
        ping = self._pings.get(name)
        if ping is None:
            if frame is not None and frame.f_code.co_filename not in IDLE:
                ping = self._pings[name] = Ping(time.monotonic())
                with contextlib.suppress(RuntimeError):  # closed in the meantime
                    loop.call_soon_threadsafe(ping.answer)
            return
        stood = time.monotonic() - ping.sent
        if ping.answered:
            del self._pings[name]
            if ping.looks >= self.blocked_after:
                self._say(name, f"event loop running again; it was blocked for {stood:.1f} s")
            return
        ping.looks += 1
        if ping.looks == self.blocked_after:
            where = stack_of(thread)
            self._say(name, f"event loop blocked for {stood:.1f} s; every call to the service waits; it is at\n{where}")

    def _look_at_threads(self, loops: set[int], frames: Mapping[int, FrameType]) -> None:
        """Report threads that are always busy; a loop's thread may be, as long as the loop responds."""
        now, spent = time.monotonic(), time.process_time()
        elapsed, used = now - self._looked, spent - self._spent
        self._looked, self._spent = now, spent
        if used < self.of_time * elapsed:
            self._busy.clear()
            self._times.clear()
            return
        before, self._times = self._times, times_of(threading.enumerate())
        for thread in threading.enumerate():
            ident = thread.ident or 0
            share = self._times.get(ident, 0.0) - before.get(ident, self._times.get(ident, 0.0))
            is_busy = ident not in loops and share >= max(self.of_process * used, self.of_time * elapsed)
            self._busy[ident] = self._busy.get(ident, 0) + 1 if is_busy else 0
            if self._busy[ident] == self.busy_after:
                text = f"thread {thread.name!r} keeps the processor busy, which all services share; it is at\n"
                self._say(owner_of(frames.get(ident), self._instances()), text + stack_of(ident))


def times_of(threads: Iterable[threading.Thread]) -> dict[int, float]:
    """Return the seconds of processor time of each thread, by ident; empty if the system reports none (macOS).

    psutil takes as long, and its import more of a start; on macOS its numbers are no thread's `native_id`.
    """
    found = {}
    for thread in threads:
        with contextlib.suppress(OSError, IndexError):
            # Several times a second for every thread: pathlib takes four times as long.
            with open(f"/proc/self/task/{thread.native_id}/stat", "rb", buffering=0) as file:
                told = file.read(1024).rpartition(b")")[2].split()
            found[thread.ident or 0] = (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
    return found


def owner_of(frame: FrameType | None, services: Container[str]) -> str:
    """Return the service with the module of the innermost such frame; `mesh` if there is none."""
    while frame is not None:
        name = service_of(frame.f_globals)
        if name in services:
            return name
        frame = frame.f_back
    return "mesh"
