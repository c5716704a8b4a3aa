"""The program of one generation: its thread, and what it has opened."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from mesh.calling.forwarding.forwarder import OwnServer
from mesh.errors import UsageError
from mesh.hosting.imports.service_code import ServiceCode
from mesh.hosting.isolation import Isolation
from mesh.hosting.load_errors import ServiceImportError, translate_errors
from mesh.hosting.mains.main_thread import MainThread
from mesh.hosting.mains.private_sockets import close_sockets
from mesh.hosting.tracebacks import caller
from mesh.observing.journal import Line
from mesh.python_command import PythonCommand, as_typed
from mesh.runtime.diagnostics.stacks import stack_of
from mesh.runtime.generation.program_ports import ProgramPorts
from mesh.service import ServiceContext
from mesh.serving.mains import gunicorn_server, http_servers
from mesh.serving.mains.grpc_servers import ProgramAioServer, ProgramServer
from mesh.serving.tls import tls_of_context
from mesh.topology.model import Address, Kind, Service

#: Seconds after which a program without servers counts as ready, though it has not waited for anything yet.
SETTLED = 1.0
#: Seconds in which it opens again, after an edit, what it has opened before and nothing declares.
OPENED_AGAIN_WITHIN = 10.0
#: Seconds for the program of an earlier generation to end.
END_WITHIN = 10.0


def program_environment(command: PythonCommand, ports: Mapping[Kind, Sequence[int]]) -> dict[str, str]:
    """Return the variables of a program, as those of a command.

    mesh reloads instead of Werkzeug's or Django's reloader: the program finds itself in the process that serves. In it,
    `flask run` would take an application that cannot be imported for one that answers with the error.
    """
    own = ports.get("http") or ports.get("grpc")
    port = {"PORT": str(own[0])} if own else {}
    return port if command.target == "flask" else {"WERKZEUG_RUN_MAIN": "true", "RUN_MAIN": "true", **port}


class RunningProgram:
    """Started in the service's loop, which it belongs to; its program runs in a thread beside it.

    command: of the service's `run`. ports: by kind, the actual ports of the service's listeners. bind: see Generation.
    """

    def __init__(
        self,
        service: Service,
        command: PythonCommand,
        context: ServiceContext,
        isolation: Isolation,
        code: ServiceCode,
        ports: Mapping[Kind, Sequence[int]],
        bind: Callable[[Kind, int], int],
    ) -> None:
        self.name = service.name
        self.command_line = as_typed(service.run or "")
        self.is_serving = threading.Event()
        self._service = service
        self._context = context
        self._ports = ProgramPorts(service, ports, bind, self._say)
        self.servers = self._ports.servers
        self._isolation = isolation
        self._code = code
        self._loop = asyncio.get_running_loop()
        self._failure: Exception | None = None
        #: The port of a server that mesh does not know.
        self._own_server_port: int | None = None
        #: Set once everything that is declared has been opened, or the program has ended.
        self._settled = asyncio.Event()
        self.ended = asyncio.Event()
        #: Set if it has opened a server after it counted as ready.
        self.opened_late = asyncio.Event()
        self._is_ready = False
        self._lock = threading.Lock()
        self._command = command
        self.thread = MainThread(
            context, self._work, partial(isolation.signals.take_stop_handler, context), self._waits, self._ends
        )
        self.waiting_servers = self.thread.waiting_servers
        self.wait_until = self.thread.wait_until

    # In the service's loop.

    async def ready(self) -> None:
        """Start the program, and return once its servers have opened; raises what prevents that."""
        self.thread.start()
        # A program that opens nothing is ready when it waits for something, or has been running for a while.
        seconds = None if self._ports.missing() else OPENED_AGAIN_WITHIN if self._ports.opened_before() else SETTLED
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        if self._failure is not None:
            raise self._failure
        if self.thread.error is not None:
            raise self.thread.error
        if missing := self._ports.missing():
            raise UsageError(f"{self.name}: {self._command} ended without listening on {' and '.join(missing)}")
        with self._lock:
            self._is_ready = True

    def serving(self) -> None:
        """Let the program go on: its servers answer."""
        self._code.main_loaded()
        self.is_serving.set()

    def reason(self) -> str | None:
        """Return why the program ended, or None if its work is done."""
        if self.thread.error is not None or not self._service.listeners:
            return None
        return f"{self._command} ended"

    async def stop(self, seconds: float | None) -> str | None:
        """Interrupt the program and wait for its end; return where it is if it does not end in time."""
        if self.thread.ident is None:
            return None
        self.thread.interrupt()
        self.is_serving.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_WITHIN if seconds is None else seconds):
                await self.ended.wait()
        for server in self.servers.values():
            getattr(server, "ended", self.is_serving).set()
        if self.ended.is_set():
            return None
        return f"stopped without waiting any longer for {self._command}\n{stack_of(self.thread.ident)}"

    def stack(self) -> str:
        """Return where the program is."""
        missing = self._ports.missing()
        where = f"{self._command} has not listened on {' and '.join(missing)} yet\n" if missing else ""
        return where + stack_of(self.thread.ident)

    # In the program's threads.

    def grpc_server(self, *args: Any, **options: Any) -> ProgramServer:
        return ProgramServer(self, *args, **options)

    def aio_server(self, *args: Any, **options: Any) -> ProgramAioServer:
        return ProgramAioServer(self, *args, **options)

    async def serve_uvicorn(self, server: Any, sockets: Any = None) -> None:
        await http_servers.serve_uvicorn(self, server, sockets)

    def run_werkzeug(self, *args: Any, **options: Any) -> None:
        http_servers.run_werkzeug(self, *args, **options)

    def run_gunicorn(self, application: Any) -> None:
        gunicorn_server.run_gunicorn(self, application)

    def run_django(self, port: int, handler: Any, threading: bool, on_bind: Callable[[int], None] | None) -> None:
        self.port_for("http", int(port))
        if on_bind is not None:
            on_bind(int(port))
        http_servers.serve_wsgi(self, handler, in_this_thread=not threading)

    def refusal(self, does: str) -> UsageError:
        way_out = f"start it with command = {self.command_line!r} instead of run"
        return self._refused(UsageError(f"{self.name}: {caller()} {does}; {way_out}"))

    def takes_own_server(self, port: int) -> bool:
        """Return True for a port of the HTTP listener, which forwards to a server that mesh does not know.

        Raises UsageError for the gRPC port.
        """
        if port and port in self._ports.known("grpc"):
            raise self.refusal(f"listens on port {port} with a gRPC server that mesh does not know")
        return bool(port) and port in self._ports.known("http")

    def binds_itself(self, port: int) -> None:
        """Tell that the program has a port that nothing declares."""
        self._say(
            f"{caller()} binds port {port} itself, where mesh sees nothing and moves nothing; if it speaks HTTP, add "
            f"http = {port} to services.{self.name}"
        )

    def own_server_opened(self, port: int, address: Address, tls: ssl.SSLContext | None) -> None:
        """Forward to a server that mesh does not know; one that listens over IPv4 and IPv6 is forwarded to once."""
        if self._own_server_port == port:
            return
        self._own_server_port = port
        self.port_for("http", port)
        origin = f"http://{address}" if tls is None else f"https://{address}"
        known_tls = None if tls is None else tls_of_context(tls)
        self.opened("http", http_servers.ProgramApp(OwnServer(self.name, origin), runs_lifespan=False, tls=known_tls))

    def port_for(self, kind: Kind, port: int) -> int:
        try:
            return self._ports.port_for(kind, port)
        except UsageError as error:
            raise self._refused(error) from error.__cause__

    def opened(self, kind: Kind, server: Any) -> threading.Event:
        with self._lock:
            self.servers[kind] = server
            is_last = not self._ports.missing() and not self._ports.opened_before()
            if self._is_ready:
                self.is_serving = threading.Event()
                self._from_thread(self.opened_late.set)
        if is_last:
            self._from_thread(self._settled.set)
            return self.is_serving
        # The program goes on to open the others: only then can any be served.
        opened = threading.Event()
        opened.set()
        return opened

    def is_main_thread(self) -> bool:
        return threading.get_ident() == self.thread.ident

    def must_leave(self) -> bool:
        return self.thread.was_interrupted and not self.is_main_thread()

    def server_left(self) -> None:
        if self.thread.was_interrupted and self.is_main_thread():
            self.thread.call_handler(default=lambda: None)

    def _work(self) -> None:
        self._isolation.mains[self.thread.ident or 0] = self.thread
        try:
            with translate_errors(self.name, self._code.roots, "in its program"):
                self._code.run_main(self._command)
        except ServiceImportError as error:
            if error.exit_code != 0 and not (self.thread.was_interrupted and error.exit_code is not None):
                raise

    def _waits(self) -> None:
        if not self._service.listeners and not self._ports.opened_before():
            self._from_thread(self._settled.set)

    def _ends(self) -> None:
        self._isolation.mains.pop(self.thread.ident or 0, None)
        close_sockets(self)
        self.thread.close_loops()
        if self.thread.was_interrupted and isinstance(self.thread.error, KeyboardInterrupt):
            self.thread.error = None
        self._from_thread(self._settled.set)
        self._from_thread(self.ended.set)

    def _from_thread(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the service has ended
            self._loop.call_soon_threadsafe(function)

    def _say(self, text: str) -> None:
        self._context.journal.append(Line(self.name, text, "mesh"))

    def _refused(self, error: UsageError) -> UsageError:
        """Record the failure: the program may go on, and even end well, as if it had not happened."""
        self._failure = self._failure or error
        self._from_thread(self._settled.set)
        return error
