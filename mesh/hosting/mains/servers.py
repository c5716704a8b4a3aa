"""Hands the servers that a service's program makes to mesh, which serves what they hold on the service's listeners."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch
from mesh.service import current_service_var


class Servers(Patch):
    """Replaces what makes and runs servers, in programs only: elsewhere everything is as ever."""

    def __init__(self, import_hooks: ImportHooks) -> None:
        super().__init__()
        self._import_hooks = import_hooks

    def install(self) -> None:
        for module, patch in (
            ("grpc", lambda found: self._replace(found, "server", "grpc_server")),
            ("grpc.aio", lambda found: self._replace(found, "server", "aio_server")),
            ("uvicorn.config", self._patch_uvicorn_config),
            ("uvicorn.server", lambda found: self._replace(found.Server, "serve", "serve_uvicorn")),
            ("gunicorn.app.base", lambda found: self._replace(found.Application, "run", "run_gunicorn")),
            # The others have a reference of their own, which they may have got before mesh was there.
            *((name, self._patch_run_simple) for name in ("werkzeug.serving", "werkzeug", "flask.cli")),
        ):
            self._import_hooks.on_import(module, patch)
        self._refuse_own_binds()

    def _replace(self, owner: Any, name: str, method: str) -> None:
        """Call that method of the program's `main`, if this is a program."""
        real: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(real)
        def replacement(*args: Any, **options: Any) -> Any:
            main = _main()
            return real(*args, **options) if main is None else getattr(main, method)(*args, **options)

        self.patches.replace(owner, name, replacement)

    def _patch_run_simple(self, module: ModuleType) -> None:
        if hasattr(module, "run_simple"):
            self._replace(module, "run_simple", "run_werkzeug")

    def _patch_uvicorn_config(self, config: ModuleType) -> None:
        """Have a program's uvicorn run in its thread: no processes of its own, and a loop that mesh can interrupt."""
        initialize, get_factory = config.Config.__init__, config.Config.get_loop_factory

        @functools.wraps(initialize)
        def own_initialize(made: Any, *args: Any, **options: Any) -> None:
            initialize(made, *args, **options)
            if _main() is not None:
                made.reload, made.workers = False, 1

        def loop_factory(made: Any) -> Any:
            return get_factory(made) if _main() is None else asyncio.new_event_loop

        self.patches.replace(config.Config, "__init__", own_initialize)
        self.patches.replace(config.Config, "get_loop_factory", loop_factory)

    def _refuse_own_binds(self) -> None:
        bind = socket.socket.bind

        def refusing_bind(bound: socket.socket, address: Any, /) -> None:
            if isinstance(address, tuple) and len(address) > 1:
                refuse_own_server(address[1])
            bind(bound, address)

        self.patches.replace(socket.socket, "bind", refusing_bind)


def refuse_own_server(port: object) -> None:
    """Raise UsageError if a program opens a port of its service with a server that mesh does not know."""
    main = _main()
    if main is not None:
        main.refuse_own_server(port)


def _main() -> Any:
    service = current_service_var.get()
    return None if service is None else service.main
