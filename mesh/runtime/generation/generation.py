"""The code behind a service's dispatchers: one generation of it, from import to the last hook."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from starlette.types import ASGIApp

from mesh.contract import Handlers, collect_handlers
from mesh.errors import UsageError
from mesh.hosting.adapt import asgi_app
from mesh.hosting.imports.carrying.carried_modules import Choice
from mesh.hosting.imports.scope.import_scope import ImportScope
from mesh.hosting.isolation import Isolation
from mesh.hosting.load_errors import ServiceImportError
from mesh.python_command import PythonCommand
from mesh.runtime.generation.http_app import assemble
from mesh.runtime.generation.interceptors import intercepted
from mesh.runtime.generation.lifespan import Lifespan
from mesh.service import Hook, ServiceContext, current_service_var
from mesh.serving.http.dispatcher import closed
from mesh.topology.model import Http, Kind, Limits, Service
from mesh.virtualenv import Virtualenv

if TYPE_CHECKING:
    from mesh.runtime.generation.program import RunningProgram
    from mesh.serving.tls import GrpcTls, HttpTls

#: How often, at twenty checks a second, a generation must be without calls before it is ended.
QUIET_POLLS = 6


class StartError(Exception):
    """Raised if the code was loaded but its start-up failed, for the reason in the cause. A retry may help."""


class Generation:
    """Loaded and ended in the service's thread. Exceptions of the service's code leave `load` unchanged.

    context: the service as this generation's code sees it. roots: where its modules are searched.
    ports: by kind, the ports of its listeners.
    living: the generations of the service that serve or drain; this one adds itself when it serves.
    virtualenv: whose packages it uses; None for mesh's.
    bind: binds a port of its program that nothing declares, and returns it; raises MeshError if it cannot.
    earlier: the one whose modules are carried over unless they need to be executed again.
    """

    def __init__(
        self,
        service: Service,
        context: ServiceContext,
        isolation: Isolation,
        pool: Executor,
        roots: Sequence[Path],
        ports: Mapping[Kind, Sequence[int]],
        living: list[Generation],
        bind: Callable[[Kind, int], int],
        earlier: Generation | None = None,
        virtualenv: Virtualenv | None = None,
    ) -> None:
        self.context = context
        self.app: ASGIApp = closed(f"{service.name} has no HTTP application")
        self.handlers: Handlers = collect_handlers(())
        self.http_tls: HttpTls | None = None
        #: None for the usual ones.
        self.http_limits = service.http.limits if service.http and service.http.limits != Limits() else None
        self.grpc_tls: GrpcTls | None = None
        self._service = service
        self._isolation = isolation
        self._pool = pool
        self._lifespan: Lifespan | None = None
        #: Whether its modules have been compared after the last of its code that ran.
        self._is_compared = False
        self.program: RunningProgram | None = None
        if service.run is None:
            self._code = isolation.add_service(context, service.env, roots, service.private, service.shared, virtualenv)
        else:
            from mesh.runtime.generation.program import RunningProgram, program_environment  # not every service has one

            command = PythonCommand.parse(service.run)
            env = {**program_environment(command, ports), **service.env}
            self._code = isolation.add_service(context, env, roots, service.private, service.shared, virtualenv)
            self.program = context.main = RunningProgram(service, command, context, isolation, self._code, ports, bind)
        self.living = living
        self._earlier = earlier
        self._carried: set[str] = set()

    @property
    def carries(self) -> bool:
        """Return True if it has modules of an earlier generation."""
        return bool(self._carried)

    def load(self) -> None:
        """Import the servicers and the application, and assemble what each listener serves."""
        current_service_var.set(self.context)
        if self.program is not None:
            self._earlier = None  # A program is executed as a whole.
            return
        self._read_tls()
        if self._earlier is not None:
            self._carry(self._earlier)
            self._earlier = None
        grpc, http = self._service.grpc, self._service.http
        servicers, interceptors = (grpc.servicers, grpc.interceptors) if grpc else ((), ())
        try:
            app, *found = self._objects([http.app if http else None, *servicers, *interceptors])
        finally:
            self._isolation.service_loaded(self.context)
        count = len(servicers)
        own_grpc = self._code.own_module("grpc")
        handlers = intercepted(self._service.name, self._collected(found[:count]), found[count:], own_grpc)
        self.handlers = self._translated(handlers)
        if http is None:
            return
        own = None
        if app is not None:
            own = asgi_app(app, f"{self._service.name}: {http.app}")
            self._lifespan = Lifespan(own, app)
        self.app = assemble(http, own, self._lifespan, self.handlers, self._pool)

    def _read_tls(self) -> None:
        """Read the files of the declared TLS anew: a certificate may have been renewed."""
        http, grpc = self._service.http, self._service.grpc
        if http is not None and http.tls is not None:
            from mesh.serving.tls import http_tls  # few services have it

            self.http_tls = http_tls(http.tls)
        if grpc is not None and grpc.tls is not None:
            from mesh.serving.tls import grpc_tls

            self.grpc_tls = grpc_tls(grpc.tls)

    def _carry(self, earlier: Generation) -> None:
        self._carried = self._code.carry(earlier._code, earlier._executed_next)
        self._isolation.carry(earlier.context, self.context, self._carried)
        self.context.reset_hooks += [each for each in earlier.context.reset_hooks if each.module in self._carried]

    def _executed_next(self, choice: Choice) -> set[str]:
        """Return the modules that the next generation executes: more where the end of this one may close something."""
        ending = {hook.module for hook in self.context.stop_hooks}

        def closes(executed: Collection[str]) -> bool:
            is_hooked = "" in ending or not ending.isdisjoint(executed)
            return is_hooked or (self._lifespan is not None and self._lifespan.may_close())

        choice = replace(choice, keep=self._service.keep, fresh=self._service.fresh, closes=closes)
        return self._code.scope.records.executed_next(choice)

    def left_carried_modules_alone(self) -> bool:
        """Return True if the load wrote to no module that it shares with the generation which still serves."""
        self._is_compared = True
        return self._code.scope.records.compare()

    def serve(self) -> None:
        """Become the generation that serves."""
        self._code.scope.settle(self._is_compared)
        self.living.append(self)

    def executed(self) -> tuple[int, int]:
        """Return how many modules were executed for it, and how many it has."""
        return self._code.executed()

    def _collected(self, servicers: Sequence[Any]) -> Handlers:
        try:
            return collect_handlers(servicers)
        except AttributeError as error:
            if error.name != "List":
                raise
            # A Health servicer from before the health service had List: its generated code now expects it.
            import importlib.metadata

            version = importlib.metadata.version("grpcio-health-checking")
            raise UsageError(
                f"{self._service.name}: {type(error.obj).__name__} has no method List, which the health service of "
                f"grpcio-health-checking {version} has; derive it from health_pb2_grpc.HealthServicer, or add List"
            ) from error

    def _translated(self, handlers: Handlers) -> Handlers:
        """Return the handlers as mesh calls them, whatever grpcio they were made with."""
        if not (handlers.by_path or handlers.generic) or (grpc := self._code.own_module("grpc")) is None:
            return handlers
        from mesh.runtime.generation.own_grpc import OwnGrpc  # few services have one

        return OwnGrpc(grpc).translated(handlers)

    async def start(self) -> None:
        """Run the application's start-up, or the program; raises StartError if it fails."""
        if self.program is not None:
            await self._start_program(self.program)
        if self._lifespan is not None:
            self._is_compared = self._is_compared and not self._lifespan.may_open()
            try:
                await self._lifespan.startup()
            except Exception as error:
                raise StartError(str(error)) from error.__cause__ or error

    @property
    def grpc_options(self) -> Mapping[str, int | str]:
        """Return the options of the server that the program has made."""
        server = self.program.servers.get("grpc") if self.program is not None else None
        return server.options if server is not None else {}

    async def _start_program(self, program: RunningProgram) -> None:
        """Start the program, and take over what its servers hold."""
        try:
            await program.ready()
        except ServiceImportError as error:
            if isinstance(error.__cause__, ImportError | SyntaxError):
                raise
            raise StartError(str(error)) from error
        finally:
            self._isolation.service_loaded(self.context)
        self.take_servers(program)

    def take_servers(self, program: RunningProgram) -> None:
        """Take over what the servers of the program hold by now."""
        if (server := program.servers.get("grpc")) is not None:
            self.handlers, self.grpc_tls = self._translated(server.handlers()), server.tls
        found = program.servers.get("http")
        http = self._service.http or (Http(()) if found is not None else None)
        if http is None:
            return
        if found is None:
            http = replace(http, contracts=tuple(each for each in http.contracts if each != self._service.name))
        else:
            self.http_tls = found.tls
            if found.limits:
                self.http_limits = replace(http.limits, **found.limits)
            self._lifespan = Lifespan(found.app) if found.runs_lifespan else None
        self.app = assemble(http, found and found.app, self._lifespan, self.handlers, self._pool)

    @property
    def scope(self) -> ImportScope:
        return self._code.scope

    def files(self) -> frozenset[Path]:
        """Return the service's own source files that were loaded, or that failed to load."""
        return self._code.files()

    def in_flight(self) -> bool:
        """Return whether a call that began on this generation is still being answered."""
        return any(call.service is self.context for call in list(self.context.journal.in_flight.values()))

    async def drained(self) -> None:
        """Return once no call that began on this generation is left.

        A call to a method that the next generation lacks, already looked up by gRPC but not begun, is not visible:
        therefore the second check.
        """
        quiet = 0
        while quiet < QUIET_POLLS:
            await asyncio.sleep(0.05)
            quiet = 0 if self.in_flight() else quiet + 1

    async def stop(self, complain: Callable[[str], None], seconds: float | None = None) -> None:
        """Run the application's shutdown and every on_stop hook, even if one fails.

        Hooks of modules that another living generation shares are left to that one.

        seconds: how long they may take together; None for no limit.
        """
        loop = asyncio.get_running_loop()
        until = None if seconds is None else loop.time() + seconds
        if self in self.living:
            self.living.remove(self)
        else:
            # The generation that goes on must not carry what this one has written to.
            self._code.scope.records.compare()
        hooks = [hook.function for hook in reversed(self._own_hooks())]
        if self._lifespan is not None:
            hooks.insert(0, self._lifespan.shutdown)
        if self.program is None:
            hooks.insert(0, lambda: self._isolation.signals.run_stop_handler(self.context))
        elif (unfinished := await self.program.stop(seconds)) is not None:
            complain(unfinished)
        self.context.stop_hooks.clear()
        current_service_var.set(self.context)
        for hook in hooks:
            try:
                outcome = hook()
                if inspect.isawaitable(outcome):
                    task = asyncio.ensure_future(outcome)
                    await asyncio.wait([task], timeout=None if until is None else until - loop.time())
                    if not task.done():
                        raise TimeoutError(f"{getattr(hook, '__qualname__', hook)} did not end within {seconds:.1f} s")
                    await task
            except Exception as error:
                complain(f"while stopping: {error!r}")
        self._isolation.remove_service(self.context, self._code)

    def _own_hooks(self) -> list[Hook]:
        own = []
        left: dict[int, list[Hook]] = {}
        for hook in self.context.stop_hooks:
            successor = next((each for each in reversed(self.living) if self._shares(hook.module, each)), None)
            if successor is None:
                own.append(hook)
            else:
                left.setdefault(id(successor), []).append(hook)
        for each in self.living:
            each.context.stop_hooks[:0] = left.get(id(each), ())
        return own

    def _shares(self, module: str, other: Generation) -> bool:
        return self._code.scope.records.shares(module, other._code.scope.records)

    def _objects(self, declared: Sequence[Any]) -> list[Any]:
        """Return the declared objects, loading the references among them at once."""
        named = [each for each in declared if isinstance(each, str)]
        found = dict(zip(named, self._code.load_all(named), strict=True))
        return [found[each] if isinstance(each, str) else each for each in declared]
