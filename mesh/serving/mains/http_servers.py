"""The HTTP servers that a program runs: its application is served by the listener while it waits as in its own."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from contextvars import copy_context
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.hosting.mains.main_thread import SLICE
from mesh.hosting.mains.program_modules import program_module
from mesh.hosting.wsgi import asgi_of
from mesh.serving.http.root_path import enter
from mesh.serving.mains.crossing import crossing_app, run_on
from mesh.serving.mains.program import Program
from mesh.serving.tls import HttpTls, tls_of_context

_END = object()
#: uvicorn's default: its author has chosen another.
_KEEP_ALIVE = 5


class ProgramApp(Struct, frozen=True):
    """An application that a program serves. runs_lifespan: True if its server does not run the lifespan itself.

    limits: fields of Limits that its server sets.
    """

    app: ASGIApp
    runs_lifespan: bool
    tls: HttpTls | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)


async def serve_uvicorn(program: Program, server: Any, sockets: Any = None) -> None:
    """Do what `uvicorn.Server.serve` does, in the loop that it is called in."""
    config = server.config
    for value, what in ((sockets, "on sockets of its own"), (config.uds, "on a Unix socket"), (config.fd, "on a file")):
        if value is not None:
            raise program.refusal(f"lets uvicorn listen {what}")
    program.port_for("http", config.port)
    if not config.loaded:
        config.load()
    server.lifespan = config.lifespan_class(config)
    await server.lifespan.startup()
    if server.lifespan.should_exit:
        server.should_exit = True
        return
    app = crossing_app(_with_settings(config, getattr(server.lifespan, "state", {})), asyncio.get_running_loop())
    program.opened("http", ProgramApp(app, False, _uvicorn_tls(config), _uvicorn_limits(config)))
    server.started = True

    def leave() -> None:
        server.should_exit = True

    with _waiting(program, leave):
        while not server.should_exit and not program.must_leave():
            await asyncio.sleep(SLICE)
    await server.lifespan.shutdown()
    program.server_left()


def _uvicorn_tls(config: Any) -> HttpTls | None:
    if config.ssl is None:
        return None
    return tls_of_context(config.ssl, config.ssl_certfile, config.ssl_keyfile, config.ssl_ca_certs)


def _uvicorn_limits(config: Any) -> dict[str, Any]:
    limits = {} if config.limit_concurrency is None else {"requests": config.limit_concurrency}
    return limits if config.timeout_keep_alive == _KEEP_ALIVE else {**limits, "idle_seconds": config.timeout_keep_alive}


def _with_settings(config: Any, state: dict[str, Any]) -> ASGIApp:
    """Return uvicorn's application with what its protocol adds to each request and answer."""
    added = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in config.headers]
    prefix = config.root_path

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if added and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        scope = {**scope, "state": state.copy()}
        if prefix:
            enter(scope, prefix)
        await config.loaded_app(scope, receive, send_with_headers)

    return app


def run_werkzeug(
    program: Program,
    hostname: str,
    port: int,
    application: Any,
    use_reloader: bool = False,
    use_debugger: bool = False,
    use_evalex: bool = True,
    extra_files: Any = None,
    exclude_patterns: Any = None,
    reloader_interval: int = 1,
    reloader_type: str = "auto",
    threaded: bool = False,
    processes: int = 1,
    request_handler: Any = None,
    static_files: Any = None,
    passthrough_errors: bool = False,
    ssl_context: Any = None,
) -> None:
    """Do what `werkzeug.serving.run_simple` does; mesh reloads instead of its reloader."""
    if request_handler is not None:
        raise program.refusal("gives Werkzeug's server a request handler of its own")
    program.port_for("http", port)
    if static_files:
        application = program_module("werkzeug.middleware.shared_data").SharedDataMiddleware(application, static_files)
    if use_debugger:
        application = program_module("werkzeug.debug").DebuggedApplication(application, evalex=use_evalex)
        with suppress(AttributeError):  # before Werkzeug 3.0.3
            application.trusted_hosts.append(hostname)
    tls = None if ssl_context is None else _werkzeug_tls(ssl_context)
    serve_wsgi(program, application, in_this_thread=not threaded and processes == 1, tls=tls)


def _werkzeug_tls(given: Any) -> HttpTls:
    """Return the TLS of what Werkzeug takes: "adhoc", the paths of a certificate and its key, or a context."""
    serving = program_module("werkzeug.serving")
    if given == "adhoc":
        return HttpTls(given, tls_of_context(serving.generate_adhoc_ssl_context()).context)
    if isinstance(given, tuple):
        return tls_of_context(serving.load_ssl_context(*given), *given[:2])
    return tls_of_context(given)


def serve_wsgi(
    program: Program,
    application: Any,
    in_this_thread: bool = False,
    tls: HttpTls | None = None,
    limits: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Serve a WSGI application until the program is to stop; in_this_thread: one request after the other, here."""
    ended = threading.Event()
    work = _ThisThread()
    app = asgi_of(_answered_on(work, application) if in_this_thread else application)
    program.opened("http", ProgramApp(app, True, tls, limits))

    def is_done(seconds: float) -> bool:
        if in_this_thread:
            work.run_for(seconds)
        else:
            ended.wait(seconds)
        return ended.is_set() or program.must_leave()

    with _waiting(program, ended.set):
        program.wait_until(is_done)
    work.shutdown()
    program.server_left()


@contextmanager
def _waiting(program: Program, leave: Callable[[], None]) -> Iterator[None]:
    """Let an interruption of the program end this server's wait, if it waits in the program's thread."""
    if not program.is_main_thread():
        yield
        return
    program.waiting_servers.append(leave)
    try:
        yield
    finally:
        program.waiting_servers.remove(leave)


class _ThisThread(Executor):
    """Runs what is submitted in the thread that calls `run_for`."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._is_over = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        context = copy_context()
        self._work.put((future, lambda: context.run(fn, *args, **kwargs)))
        if self._is_over:
            future.cancel()
        return future

    def run_for(self, seconds: float) -> None:
        """Run one piece of work, waiting for it at most so long."""
        try:
            future, work = self._work.get(timeout=seconds)
        except queue.Empty:
            return
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what has not run."""
        self._is_over = True
        while True:
            try:
                self._work.get_nowait()[0].cancel()
            except queue.Empty:
                return


def _answered_on(pool: Executor, application: Any) -> Any:
    """Return the WSGI application with all of its code run in the pool."""

    def answered(environ: Any, start_response: Any) -> Iterator[bytes]:
        def begin() -> tuple[Any, Iterator[bytes]]:
            answer = application(environ, start_response)
            return answer, iter(answer)

        answer, chunks = run_on(pool, begin)
        try:
            while (chunk := run_on(pool, next, chunks, _END)) is not _END:
                yield chunk
        finally:
            if hasattr(answer, "close"):
                run_on(pool, answer.close)

    return answered
