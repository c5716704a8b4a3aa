"""The listeners of a service in this process: its ports, and what serves on them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from mesh.runtime.generation.generation import Generation
from mesh.runtime.instances.ports import bind_undeclared
from mesh.service import ServiceContext
from mesh.serving.listeners import GrpcListener, HttpListener
from mesh.topology.model import Address, Kind, Service


class Listeners:
    """Bound in the main thread; opened, served on and stopped in the service's loop.

    held: see Options. host: where ports are opened that a program opens and nothing declares.
    """

    def __init__(self, service: Service, context: ServiceContext, held: Mapping[int, int], host: str) -> None:
        self._name = service.name
        self._host = host
        self.bound: dict[Kind, tuple[Address, ...]] = {}
        #: Undeclared ones that are not open yet, of which nobody is told.
        self._unopened: dict[Kind, Address] = {}
        self._http = HttpListener(context, service.http, held)
        self._grpc = GrpcListener(context, service.grpc)

    def bind(self, kind: Kind, address: Address) -> None:
        """Bind one port; raises OSError if the port is unavailable."""
        self.bound[kind] = (*self.bound.get(kind, ()), self._of(kind).bind(address))

    def bind_undeclared(self, kind: Kind, port: int) -> int:
        """Bind a port of the service's program, from any thread; raises PortError if it is not available."""
        found = bind_undeclared(self._of(kind).bind, self._name, kind, Address(self._host, port))
        self._unopened[kind] = found
        return found.port

    def release(self) -> None:
        """Release the ports of listeners that will not be opened."""
        self._http.release()
        self._grpc.release()

    def addresses(self, host: str) -> dict[Kind, tuple[Address, ...]]:
        """Return the actual addresses of the bound listeners."""
        return {kind: tuple(Address(host, each.port) for each in found) for kind, found in self.bound.items()}

    @property
    def encrypted(self) -> frozenset[Kind]:
        """Return the kinds of the bound listeners that speak TLS."""
        tls = {"http": self._http.has_tls, "grpc": self._grpc.has_tls}
        return frozenset(kind for kind in self.bound if tls[kind])

    async def serve(self, generation: Generation, context: ServiceContext) -> bool:
        """Serve this generation instead of the previous one; return whether gRPC connections were kept."""
        await self._http.serve(generation.app, context, generation.http_tls, generation.http_limits)
        return await self._grpc.serve(generation.handlers, context, generation.grpc_options, generation.grpc_tls)

    def close(self, reason: str, context: ServiceContext, generation: Generation) -> None:
        """Answer everything with UNAVAILABLE and the reason why this first generation could not start."""
        self._http.close(reason, context, generation.http_tls)
        self._grpc.close(reason, generation.grpc_tls)

    async def open(self) -> None:
        """Open the bound listeners that are not open yet."""
        opening = dict(self._unopened)
        await self._grpc.open()
        await self._http.open()
        for kind, address in opening.items():
            self.bound[kind] = (address,)
            del self._unopened[kind]

    def _of(self, kind: Kind) -> HttpListener | GrpcListener:
        return self._http if kind == "http" else self._grpc

    async def stop(self, grace: float) -> list[BaseException]:
        """Close both at once, and let calls end; return what went wrong."""
        outcomes = await asyncio.gather(self._http.stop(grace), self._grpc.stop(grace), return_exceptions=True)
        return [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
