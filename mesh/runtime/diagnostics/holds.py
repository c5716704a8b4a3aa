"""Notes each time in which a service held up others for a tenth of a second: a blocked event loop, or the GIL."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from msgspec import Struct

from mesh.compat.interpreter import current_frames
from mesh.hosting.tracebacks import is_own
from mesh.observing.journal import Hold
from mesh.runtime.diagnostics.dumps import Stack
from mesh.runtime.diagnostics.gil import GilHolds
from mesh.runtime.diagnostics.watchdog import IDLE, Watched, times_of

#: Who held what, and where in its code.
Place = tuple[str, str, str, str]


class _Probe(Struct):
    """A callback sent to a busy loop. frame: the id of the service's innermost frame, the same at each look since then.

    since, answered: on the monotonic clock.
    """

    since: float = 0.0
    answered: float = 0.0
    frame: int | None = None
    function: str = ""
    file: str = ""
    line: int = 0

    def answer(self) -> None:
        self.answered = time.monotonic()


class Holds:
    """A thread that looks at every loop, twenty times a second, and learns from its own delay that the GIL was held.

    instances: the instances to look at, by service. services: the name of the service that each thread works for.
    note: takes each hold. say: takes a service's name and a sentence, once for each place in its code.
    """

    #: Seconds between two looks.
    tick = 0.05
    #: Seconds of a hold that is noted, and of one of which the watchdog tells.
    least, watchdogs = 0.1, {"loop": 0.5, "gil": 1.0}

    def __init__(
        self,
        instances: Callable[[], Mapping[str, Watched]],
        services: Callable[[], Mapping[int, str]],
        note: Callable[[Hold], object],
        say: Callable[[str, str], object],
    ) -> None:
        self._instances = instances
        self._note = note
        self._say = say
        self._gil = _ShortGilHolds(services, lambda: times_of(threading.enumerate()), lambda name, text: None)
        self._gil.held = self._gil_was_held
        self._probes: dict[str, _Probe] = {}
        self._said: set[Place] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="holds", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=2)
        self._gil.close()

    def _watch(self) -> None:
        self._gil.look(0)
        while not self._stop.wait(self.tick):
            self._gil.look(self.tick)
            frames = current_frames()
            for name, instance in self._instances().items():
                if (found := instance.loop_and_thread()) is not None:
                    self._look_at(name, found[0], frames.get(found[1]))
                else:
                    self._probes.pop(name, None)
            del frames

    def _look_at(self, name: str, loop: asyncio.AbstractEventLoop, frame: FrameType | None) -> None:
        probe = self._probes.get(name)
        if probe is None:
            if frame is not None and frame.f_code.co_filename not in IDLE:
                probe = self._probes[name] = _Probe()
                _see(probe, frame)
                with contextlib.suppress(RuntimeError):  # closed in the meantime
                    loop.call_soon_threadsafe(probe.answer)
        elif probe.answered:
            del self._probes[name]
            took = probe.answered - probe.since
            if took >= self.least and probe.function:
                self._held(Hold(name, "loop", probe.function, probe.file, probe.line, took * 1000))
        elif frame is not None:
            _see(probe, frame)

    def _gil_was_held(self, service: str, stack: Stack, seconds: float) -> None:
        own = [each for each in stack if is_own(each.filename)]
        watched = self._instances().get(service)
        # A service that is loading its code holds the GIL for as long as its imports take.
        is_loading = watched is not None and watched.loop_and_thread() is None
        if own and service != "mesh" and not is_loading:
            probe = self._probes.get(service)
            if probe is not None and (not probe.answered or probe.answered > time.monotonic() - seconds):
                del self._probes[service]  # Its loop may have been held as well: told once.
            last = own[-1]
            self._held(Hold(service, "gil", last.name, last.filename, last.lineno or 0, seconds * 1000))

    def _held(self, hold: Hold) -> None:
        self._note(hold)
        place = (hold.service, hold.what, hold.file, hold.function)
        if place not in self._said:
            self._said.add(place)
            if hold.milliseconds < self.watchdogs[hold.what] * 1000:
                self._say(hold.service, sentence(hold))


def sentence(hold: Hold) -> str:
    """Return what held up whom for how long, and where."""
    place = f"{hold.function} at {Path(hold.file).name}:{hold.line}"
    if hold.what == "loop":
        return f"{place} blocked its event loop for {hold.milliseconds:.0f} ms; other calls to the service waited"
    return f"{place} held the GIL for {hold.milliseconds:.0f} ms; every service waited"


def _see(probe: _Probe, frame: FrameType) -> None:
    """Note where the loop's thread is; measure anew if it has come to another call since the last look."""
    found: FrameType | None = frame
    while found is not None and not is_own(found.f_code.co_filename):
        found = found.f_back
    if found is not None and probe.frame == id(found):
        return
    probe.since, probe.frame, probe.function = time.monotonic(), None, ""
    if found is not None:
        probe.frame = id(found)
        probe.function, probe.file = found.f_code.co_qualname, found.f_code.co_filename
        probe.line = found.f_lineno or 0


class _ShortGilHolds(GilHolds):
    """Reports to `held` the service, the stack and the seconds; nothing where the thread is not known."""

    held_for = Holds.least
    held: Callable[[str, Stack, float], object]

    def _report(
        self, stacks: Mapping[int, Stack], services: Mapping[int, str], thread: int | None, late: float, kind: str
    ) -> None:
        if thread is not None:
            self.held(services.get(thread, "mesh"), stacks[thread], late)
