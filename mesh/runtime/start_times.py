"""Measures where a start's time goes: its phases, and for each service imports by package, start, readiness."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct, field

from mesh.compat.importlib import observed_imports
from mesh.observing.journal import Change, Entry
from mesh.runtime.messages import Ready
from mesh.service import current_service_var


class ServiceTimes(Struct):
    """Times of one service, in milliseconds.

    imports: by the top-level name of the package or module, the time of its own modules without those that they import.
    waited: from the first start of a service to this one's. loaded: for its code, imports and start-up together.
    started: from its start until it was ready or had failed.
    """

    imports: dict[str, float] = field(default_factory=dict)
    waited: float = 0.0
    loaded: float = 0.0
    started: float = 0.0

    def longest_imports(self) -> list[tuple[str, float]]:
        """Return the imports that took a tenth of a millisecond or more, the longest first."""
        return sorted(((name, spent) for name, spent in self.imports.copy().items() if spent >= 0.1), key=_spent)

    def as_json(self) -> dict[str, Any]:
        imports = {name: round(spent, 1) for name, spent in self.longest_imports()}
        spent = {name: round(getattr(self, name), 1) for name in ("waited", "loaded", "started")}
        return {**spent, "imports": imports}


def _spent(found: tuple[str, float]) -> float:
    return -found[1]


class StartTimes:
    """A journal's subscriber that observes one start, and imports while in `observing()`.

    phases: by their names, in milliseconds, in their order. services: by their names.
    """

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self.services: dict[str, ServiceTimes] = {}
        self._ended = time.perf_counter()
        self._first: float | None = None
        self._starts: dict[str, float] = {}
        self._imports = threading.local()

    def end_phase(self, name: str, began: float | None = None) -> None:
        """Note how long a phase took that ends now. began: by `time.perf_counter`, else where the last one ended."""
        now = time.perf_counter()
        self.phases[name] = (now - (self._ended if began is None else began)) * 1000
        self._ended = now

    def arrived(self, message: Ready) -> None:
        """Note how long the code of a service that is ready took."""
        if not self._of(message.service).loaded:
            self._of(message.service).loaded = message.milliseconds

    def __call__(self, entry: Entry) -> None:
        if not isinstance(entry, Change) or entry.service == "mesh":
            return
        now = time.perf_counter()
        if entry.state == "starting" and entry.service not in self._starts:
            self._first = self._first or now
            self._starts[entry.service] = now
            self._of(entry.service).waited = (now - self._first) * 1000
        elif entry.state in ("ready", "failed", "done") and entry.service in self._starts:
            times = self._of(entry.service)
            times.started = times.started or (now - self._starts[entry.service]) * 1000

    def as_json(self) -> dict[str, Any]:
        phases = {name: round(spent, 1) for name, spent in self.phases.items()}
        return {"phases": phases, "services": {name: each.as_json() for name, each in self.services.items()}}

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Note each import that a service's code makes, in any thread."""
        with observed_imports(self._import):
            yield

    @contextmanager
    def _import(self, name: str) -> Iterator[None]:
        service = current_service_var.get()
        if service is None:
            yield
            return
        open_imports: list[float] = self._imports.__dict__.setdefault("open", [])
        began = time.perf_counter()
        open_imports.append(0.0)
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            inner = open_imports.pop()
            if open_imports:
                open_imports[-1] += spent
            imports = self._of(service.name).imports
            package = name.partition(".")[0]
            imports[package] = imports.get(package, 0.0) + (spent - inner) * 1000

    def _of(self, service: str) -> ServiceTimes:
        return self.services.setdefault(service, ServiceTimes())
