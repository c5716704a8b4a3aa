"""Interpreter-wide settings: a service's change affects the others, and is reported."""

from __future__ import annotations

import asyncio
import functools
import gc
import locale
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from mesh.hosting.patches import Patch
from mesh.hosting.processes.exits import Notice
from mesh.hosting.tracebacks import caller
from mesh.service import ServiceContext, current_service_var

#: Functions that set something for everyone. `locale.setlocale` with one argument only reads.
_EVERYBODYS = (
    (socket, "setdefaulttimeout"),
    (locale, "setlocale"),
    (sys, "setrecursionlimit"),
    (sys, "setswitchinterval"),
    (gc, "disable"),
    (resource, "setrlimit"),
    (asyncio, "set_event_loop_policy"),
    (time, "tzset"),
    # On Linux each service has a working folder and a umask of its own (working_folder.py).
    *(() if sys.platform == "linux" else ((os, "chdir"), (os, "umask"))),
)


class InterpreterSettings(Patch):
    """Lets a service change them, and reports once per setting what, where, and how to keep it private."""

    def __init__(self, notice: Notice) -> None:
        super().__init__()
        self._notice = notice
        self._said: set[tuple[int, str]] = set()

    def install(self) -> None:
        for module, name in _EVERYBODYS:
            self.patches.replace(module, name, self._naming(module.__name__, getattr(module, name)))

    def remove_service(self, service: ServiceContext) -> None:
        self._said = {each for each in self._said if each[0] != id(service)}

    def _naming(self, module: str, set_: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(set_)
        def setting(*args: Any, **options: Any) -> Any:
            service = current_service_var.get()
            name = f"{module}.{set_.__name__}"
            only_asks = name == "locale.setlocale" and len(args) + len(options) < 2
            if service is not None and not only_asks and (id(service), name) not in self._said:
                self._said.add((id(service), name))
                self._notice(
                    service.name,
                    f"{name}({', '.join(map(repr, args))}) at {caller()} is for every service of this process; "
                    f'isolation = "process" gives this one its own',
                )
            return set_(*args, **options)

        return setting
