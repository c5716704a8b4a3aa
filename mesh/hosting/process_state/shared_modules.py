"""Attributes of the standard library that a service replaces: all services get them, and it is named."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from operator import is_
from pathlib import Path
from types import CodeType
from typing import Any

from mesh.hosting.imports.source_loader import service_of
from mesh.hosting.patches import Patch
from mesh.hosting.processes.exits import Notice
from mesh.service import ServiceContext

#: Modules and classes of which code is known to replace attributes.
_OWNERS: dict[str, Any] = {
    "asyncio": asyncio,
    "json": json,
    "json.JSONEncoder": json.JSONEncoder,
    "socket": socket,
    "socket.socket": socket.socket,
    "ssl": ssl,
    "time": time,
}
#: What `time.tzset` sets.
_TIME_ZONE = frozenset({"time.altzone", "time.daylight", "time.timezone", "time.tzname"})
_MESH = str(Path(__file__).resolve().parents[2])


class SharedModules(Patch):
    """Compares the modules now and then with what they were before: reading an attribute costs nothing."""

    def __init__(self, notice: Notice) -> None:
        super().__init__()
        self._notice = notice
        self._before: dict[str, dict[str, Any]] = {}
        self._said: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def install(self) -> None:
        self._before = _attributes()

    def add_service(self, service: ServiceContext) -> None:
        self.look()

    def service_loaded(self, service: ServiceContext) -> None:
        self._compare(service.name, " while the service was loaded")

    def look(self) -> None:
        """Report what services' code, not other code such as a test's, has replaced since the last look."""
        self._compare("", "")

    def _compare(self, name: str, when: str) -> None:
        with self._lock:
            before, self._before = self._before, _attributes()
            changed = [] if _are_same(before, self._before) else list(_replaced(before, self._before))
        for attribute, value in changed:
            code = getattr(value, "__code__", None)
            place = f" by {code.co_filename}:{code.co_firstlineno}" if isinstance(code, CodeType) else ""
            if not place.startswith(f" by {_MESH}/"):
                owner = _owner(value)
                self._report(owner or name, attribute, place + (when if owner in (name, "") else ""))

    def _report(self, name: str, attribute: str, how: str) -> None:
        if name and (name, attribute) not in self._said:
            self._said.add((name, attribute))
            self._notice(
                name,
                f"{attribute} was replaced{how}, for every service of this process; "
                'isolation = "process" gives this one its own',
            )


def _owner(value: Any) -> str:
    """Return the name of the service in whose module the function or class was made; empty if there is none."""
    functions = [value, *(vars(value).values() if isinstance(value, type) else ())]
    return next(filter(None, (service_of(getattr(each, "__globals__", {})) for each in functions)), "")


def _attributes() -> dict[str, dict[str, Any]]:
    return {owner: dict(vars(kind)) for owner, kind in _OWNERS.items()}


def _are_same(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> bool:
    """Return True if every attribute is the very object that it was, as at nearly every look: compared in C."""
    return all(
        before[owner].keys() == values.keys() and all(map(is_, before[owner].values(), values.values()))
        for owner, values in after.items()
    )


def _replaced(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield each attribute, `time.sleep`, that has another value, and that value."""
    for owner, values in after.items():
        for name, value in values.items():
            known = before[owner].get(name, value)
            if value is not known and f"{owner}.{name}" not in _TIME_ZONE:
                yield f"{owner}.{name}", value
