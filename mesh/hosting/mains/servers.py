"""Hands the servers that a service's program makes to mesh, which serves what they hold on the service's listeners."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.mains.private_sockets import bind_privately, bind_unchanged
from mesh.hosting.mains.shared_ports import bind_beside
from mesh.hosting.patches import Patch
from mesh.service import current_service_var


class Servers(Patch):
    """Replaces what makes and runs servers, in programs only: elsewhere everything is as ever."""

    def __init__(self, import_hooks: ImportHooks) -> None:
        super().__init__()
        self._import_hooks = import_hooks

    def install(self) -> None:
        for module, patch in (
            ("grpc", self._patch_grpc),
            ("grpc.aio", lambda found: self._replace(found, "server", "aio_server")),
            ("uvicorn.config", self._patch_uvicorn_config),
            ("uvicorn.server", lambda found: self._replace(found.Server, "serve", "serve_uvicorn")),
            ("gunicorn.config", self._patch_gunicorn_config),
            ("gunicorn.app.base", lambda found: self._replace(found.Application, "run", "run_gunicorn")),
            ("hypercorn.run", self._patch_hypercorn),
            ("waitress.runner", self._patch_waitress),
            # The others have a reference of their own, which they may have got before mesh was there.
            *((name, self._patch_run_simple) for name in ("werkzeug.serving", "werkzeug", "flask.cli")),
        ):
            self._import_hooks.on_import(module, patch)
        self._keep_own_binds_apart()

    def _replace(self, owner: Any, name: str, method: str) -> None:
        """Call that method of the program's `main`, if this is a program."""
        real: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(real)
        def replacement(*args: Any, **options: Any) -> Any:
            main = _main()
            return real(*args, **options) if main is None else getattr(main, method)(*args, **options)

        self.patches.replace(owner, name, replacement)

    def _patch_grpc(self, grpc: ModuleType) -> None:
        self._replace(grpc, "server", "grpc_server")
        make_credentials = grpc.ssl_server_credentials

        @functools.wraps(make_credentials)
        def known_credentials(pairs: Any, root_certificates: Any = None, require_client_auth: bool = False) -> Any:
            pairs = tuple(tuple(each) for each in pairs)
            made = make_credentials(pairs, root_certificates, require_client_auth)
            # Those of the next generation are compared: a server whose TLS is the same keeps its connections.
            made.mesh_made_of = pairs, root_certificates, require_client_auth
            return made

        self.patches.replace(grpc, "ssl_server_credentials", known_credentials)

    def _patch_run_simple(self, module: ModuleType) -> None:
        if hasattr(module, "run_simple"):
            self._replace(module, "run_simple", "run_werkzeug")

    def _patch_uvicorn_config(self, config: ModuleType) -> None:
        """Make a program's uvicorn run in its thread, without processes, in a loop that mesh can interrupt."""
        initialize = config.Config.__init__

        @functools.wraps(initialize)
        def own_initialize(made: Any, *args: Any, **options: Any) -> None:
            initialize(made, *args, **options)
            if _main() is not None:
                made.reload, made.workers = False, 1

        self.patches.replace(config.Config, "__init__", own_initialize)
        if hasattr(config.Config, "get_loop_factory"):
            self._patch_loop_factory(config.Config)
        else:
            self._patch_loop_policy(config.Config)

    def _patch_loop_factory(self, config: Any) -> None:
        get_factory = config.get_loop_factory

        def loop_factory(made: Any) -> Any:
            factory = get_factory(made)
            if _main() is None or getattr(factory, "__module__", "") == "uvloop":
                return factory
            return asyncio.new_event_loop

        self.patches.replace(config, "get_loop_factory", loop_factory)

    def _patch_loop_policy(self, config: Any) -> None:
        """Keep uvicorn before 0.36 from setting a policy for loops, which the whole process would have."""
        set_up = config.setup_event_loop

        def own_set_up(made: Any) -> None:
            if _main() is None:
                set_up(made)

        self.patches.replace(config, "setup_event_loop", own_set_up)

    def _patch_gunicorn_config(self, config: ModuleType) -> None:
        """Make each program's gunicorn look for its application in its own folder, not in that of its first user."""
        self.patches.replace(config.Chdir, "default", _CurrentFolder())

    def _patch_hypercorn(self, module: ModuleType) -> None:
        """Make a program's hypercorn run in the program's thread, without processes."""
        run = module.run

        @functools.wraps(run)
        def own_run(config: Any) -> Any:
            if _main() is not None:
                config.workers, config.use_reloader = 0, False
            return run(config)

        self.patches.replace(module, "run", own_run)

    def _patch_waitress(self, module: ModuleType) -> None:
        """Make the command read the program's arguments: its default are those at the time of its import."""
        run = module.run

        @functools.wraps(run)
        def own_run(argv: Any = None, **options: Any) -> Any:
            return run(sys.argv if argv is None else argv, **options)

        self.patches.replace(module, "run", own_run)

    def _keep_own_binds_apart(self) -> None:
        bind = socket.socket.bind

        def own_bind(bound: socket.socket, address: Any, /) -> None:
            is_inet = isinstance(address, tuple) and len(address) > 1
            try:
                if is_inet and type(bound) is socket.socket and (main := _main()) is not None:
                    _bind_for(main, bound, address)
                else:
                    bind(bound, address)
            except OSError as error:
                if is_inet:
                    error.mesh_port = address[1]  # type: ignore[attr-defined]  # its text does not say which
                raise

        self.patches.replace(socket.socket, "bind", own_bind)


class _CurrentFolder:
    """The value of a setting that was to be computed when its module is imported."""

    def __get__(self, setting: object, owner: object = None) -> str:
        return os.getcwd()


def _bind_for(main: Any, bound: socket.socket, address: tuple[Any, ...]) -> None:
    """Bind a socket of a program."""
    if main.takes_own_server(address[1]):
        bind_privately(bound, main, address)
    elif address[1] and bound.type == socket.SOCK_STREAM:
        bind_beside(bound, main, address)
    else:
        bind_unchanged(bound, address)


def program_with_port(port: object) -> Any:
    """Return the current program's `main` if this is the port of its HTTP listener, which mesh has.

    Raises UsageError for the port of its gRPC listener: mesh knows every server of gRPC that it can serve.
    """
    main = _main()
    return main if main is not None and isinstance(port, int) and main.takes_own_server(port) else None


def _main() -> Any:
    service = current_service_var.get()
    return None if service is None else service.main
