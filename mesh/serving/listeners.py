"""A service's two listeners: ports bound in the main thread, a lasting dispatcher, a server while the service runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from mesh.contract import Handlers, collect_handlers
from mesh.observing.journal import Line
from mesh.service import ServiceContext, current_service_var
from mesh.serving.grpc.aio_handlers import LayeredAio
from mesh.serving.grpc.call_queue import CallQueue
from mesh.serving.grpc.dispatcher import MethodDispatcher
from mesh.serving.grpc.handlers import Layered
from mesh.serving.grpc.server import AioServer, GrpcServer, declared_options, kind_of_server
from mesh.serving.http.cross_site import CrossSiteGuard, is_loopback
from mesh.serving.http.dispatcher import AppDispatcher, closed
from mesh.serving.http.server import HttpServer
from mesh.serving.server_sockets import adopt, bind
from mesh.topology.model import Address, Grpc, Http, Limits

if TYPE_CHECKING:
    from mesh.serving.tls import GrpcTls, HttpTls


#: Seconds for the requests in flight when the TLS of a listener changes.
REPLACED_WITHIN = 5.0


class HttpListener:
    """One HTTP server on all bound ports.

    http: as declared; None if no such listener is, which a program may nevertheless open.
    held: by port, descriptors of sockets that the parent process has bound.
    """

    def __init__(self, service: ServiceContext, http: Http | None, held: Mapping[int, int]) -> None:
        self._service = service
        self._dispatcher = AppDispatcher(service)
        self._guard = CrossSiteGuard(service.name, http or Http(()))
        self._held = held
        self._tls: HttpTls | None = None
        self._limits: Limits | None = None
        self._sockets: list[socket.socket] = []
        self._server: HttpServer | None = None
        self._replaced: set[asyncio.Task[None]] = set()

    def bind(self, address: Address) -> Address:
        """Bind the port and return it; raises OSError if the port is unavailable."""
        # A listener beyond loopback is meant for other machines, by whatever name they know this one.
        self._dispatcher.guard = self._guard if is_loopback(address.host) else None
        held = self._held.get(address.port)
        self._sockets.append(bind(address) if held is None else adopt(address, held))
        return Address(address.host, self._sockets[-1].getsockname()[1])

    def release(self) -> None:
        for bound in self._sockets:
            bound.close()

    @property
    def has_tls(self) -> bool:
        return self._tls is not None

    async def serve(
        self, app: ASGIApp, service: ServiceContext, tls: HttpTls | None = None, limits: Limits | None = None
    ) -> None:
        """Serve this application instead of the previous one. limits: if not the usual ones."""
        self._dispatcher.serve(app, service, limits.requests if limits is not None else None)
        before_limits, self._limits = self._limits, limits
        if self._server is not None and limits != before_limits:
            self._server.limit(limits or Limits())
        before, self._tls = self._tls, tls
        if self._server is not None and tls != before:
            await self._replace_server(self._server)

    def close(self, reason: str, service: ServiceContext, tls: HttpTls | None = None) -> None:
        """Answer every request with UNAVAILABLE and the reason. tls: of a listener that has not been opened."""
        self._tls = tls if self._server is None else self._tls
        self._dispatcher.serve(closed(reason), service)

    async def open(self) -> None:
        if self._sockets and self._server is None:
            tls = self._tls.context if self._tls is not None else None
            self._server = HttpServer(self._sockets, self._dispatcher, self._notify, tls)
            if self._limits is not None:
                self._server.limit(self._limits)
            await self._server.start()

    async def _replace_server(self, earlier: HttpServer) -> None:
        """Open another server on the same ports, on which nobody is refused meanwhile, and end the earlier one."""
        self._sockets, self._server = [each.dup() for each in self._sockets], None
        await self.open()
        ending = asyncio.ensure_future(earlier.stop(REPLACED_WITHIN))
        self._replaced.add(ending)
        ending.add_done_callback(self._replaced.discard)

    def _notify(self, text: str) -> None:
        self._service.journal.append(Line(self._service.name, text, "mesh"))

    async def stop(self, grace: float) -> None:
        self._dispatcher.stopping = True
        if self._server is not None:
            await self._server.stop(grace)
        self.release()


class GrpcListener:
    """One gRPC server, of the kind that its servicers need."""

    def __init__(self, context: ServiceContext, grpc: Grpc | None) -> None:
        settings = grpc or Grpc(0)
        pool = ThreadPoolExecutor(
            settings.workers,
            thread_name_prefix=context.name,
            initializer=current_service_var.set,
            initargs=(context,),
        )
        self._queue = CallQueue(settings, pool)
        self._declared_options = self._options = declared_options(settings)
        self._tls: GrpcTls | None = None
        self._dispatcher = MethodDispatcher()
        self._address: Address | None = None
        #: Holds the port until a server takes it over.
        self._held: socket.socket | None = None
        self._server: GrpcServer | None = None
        self._kind: type[GrpcServer] = kind_of_server(collect_handlers(()))

    def bind(self, address: Address) -> Address:
        """Bind the port and return it; raises OSError if the port is unavailable."""
        self._held = bind(address)
        self._address = Address(address.host, self._held.getsockname()[1])
        return self._address

    def release(self) -> None:
        if self._held is not None:
            self._held.close()

    @property
    def has_tls(self) -> bool:
        return self._tls is not None

    async def serve(
        self,
        handlers: Handlers,
        service: ServiceContext,
        options: Mapping[str, int | str] | None = None,
        tls: GrpcTls | None = None,
    ) -> bool:
        """Serve these methods instead of the previous ones; return whether connections were kept.

        If plain methods became async ones, or the reverse, or if the code gives the server other options or another
        TLS, another server takes over the port. options: those of the code; the declared ones take precedence.
        """
        self._kind = kind_of_server(handlers)
        before = self._options, self._tls
        self._options, self._tls = {**(options or {}), **self._declared_options}, tls
        is_same = isinstance(self._server, self._kind) and (self._options, self._tls) == before
        is_kept = self._server is None or self._address is None or is_same
        if not is_kept and self._server is not None:
            await self._server.stop(0)
        self._dispatcher.serve(
            handlers, service, partial(LayeredAio, queue=self._queue) if self._kind is AioServer else Layered
        )
        if not is_kept and self._address is not None:
            self._held = await _bound_again(self._address)
            await self.open()
        return is_kept

    def close(self, reason: str, tls: GrpcTls | None = None) -> None:
        """Answer every call with UNAVAILABLE and the reason. tls: of a listener that has not been opened."""
        self._tls = tls if self._server is None else self._tls
        self._dispatcher.close(reason)

    async def open(self) -> None:
        if self._held is not None:
            credentials = self._tls.credentials if self._tls is not None else None
            self._server = self._kind(self._dispatcher, self._queue, self._options, credentials)
            held, self._held = self._held, None
            await self._server.start(held)

    async def stop(self, grace: float) -> None:
        self._dispatcher.drain()
        if self._server is not None:
            await self._server.stop(grace)
        self.release()
        self._queue.shutdown(wait=False)
        self._dispatcher.spare.shutdown(wait=False)


async def _bound_again(address: Address) -> socket.socket:
    """Return a port released a moment ago; raises OSError if it is not free within a second."""
    for _ in range(100):
        try:
            return bind(address)
        except OSError:
            await asyncio.sleep(0.01)
    return bind(address)
