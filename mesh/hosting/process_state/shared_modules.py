"""Attributes of the standard library that a service replaces: all services get them, and it is named."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from pathlib import Path
from types import CodeType
from typing import Any

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
    """Compares the modules after each load with what they were before: reading an attribute costs nothing."""

    def __init__(self, notice: Notice) -> None:
        super().__init__()
        self._notice = notice
        self._before: dict[str, Any] = {}
        self._said: set[tuple[str, str]] = set()

    def install(self) -> None:
        self._before = _attributes()

    def service_loaded(self, service: ServiceContext) -> None:
        before, self._before = self._before, _attributes()
        for name, value in self._before.items():
            code = getattr(value, "__code__", None)
            place = f" by {code.co_filename}:{code.co_firstlineno}" if isinstance(code, CodeType) else ""
            is_replaced = name in before and value is not before[name] and not place.startswith(f" by {_MESH}/")
            if is_replaced and (service.name, name) not in self._said:
                self._said.add((service.name, name))
                self._notice(
                    service.name,
                    f"{name} was replaced{place} while the service was loaded, for every service of this process; "
                    'isolation = "process" gives this one its own',
                )


def _attributes() -> dict[str, Any]:
    found = {f"{owner}.{name}": value for owner, kind in _OWNERS.items() for name, value in list(vars(kind).items())}
    return {name: value for name, value in found.items() if name not in _TIME_ZONE}
