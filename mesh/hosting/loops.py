"""The event loop of a service: it knows the services' names, and takes signal handlers off the main thread."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from mesh.hosting.host_names import HostNames
from mesh.hosting.signals import Signals


def new_event_loop(names: HostNames, signals: Signals) -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop's where it is installed, else of asyncio's, for the service that is running.

    To be called in the thread that will run the loop.
    """
    kind = _own_loop(_base())
    loop: asyncio.AbstractEventLoop = kind()
    loop.mesh_names, loop.mesh_signals = names, signals  # type: ignore[attr-defined]
    signals.add_loop(loop)
    return loop


def _base() -> Any:
    if sys.implementation.name == "cpython":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            return uvloop.Loop
    return asyncio.SelectorEventLoop


@functools.cache
def _own_loop(base: Any) -> Any:
    class ServiceLoop(base):  # type: ignore[misc]  # one of two, known at run time
        mesh_names: HostNames
        mesh_signals: Signals

        async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
            found = self.mesh_names.actual_for(options.get("family", 0), host, port)
            return await super().getaddrinfo(*found, **options)

        async def create_connection(self, protocol: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
            found_host, found_port = self.mesh_names.actual(host, port)
            if options.get("ssl") and found_host != host and not options.get("server_hostname"):
                options["server_hostname"] = host
            return await super().create_connection(protocol, found_host, found_port, **options)

        # A child of the loop's own would inherit the C environment.
        async def subprocess_exec(self, protocol: Any, *args: Any, **options: Any) -> Any:
            options["env"] = dict(os.environ) if options.get("env") is None else options["env"]
            return await super().subprocess_exec(protocol, *args, **options)

        async def subprocess_shell(self, protocol: Any, command: Any, **options: Any) -> Any:
            options["env"] = dict(os.environ) if options.get("env") is None else options["env"]
            return await super().subprocess_shell(protocol, command, **options)

        def add_signal_handler(self, number: int, callback: Callable[..., object], *args: Any) -> None:
            self.mesh_signals.set_loop_handler(self, number, functools.partial(callback, *args))

        def remove_signal_handler(self, number: int) -> bool:
            return self.mesh_signals.remove_loop_handler(number)

    return ServiceLoop
