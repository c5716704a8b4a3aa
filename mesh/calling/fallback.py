"""gRPC first, then HTTP: two ways to one service, as one backend."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from google.protobuf.message import Message

from mesh.calling.connections import current_connections
from mesh.calling.grpc_transport import GrpcTransport
from mesh.calling.http_transport import HttpTransport, Unreached
from mesh.context import current_call
from mesh.contract import Method, Reply
from mesh.contract.backends.backend import Metadata
from mesh.errors import Code, MeshError, StatusError
from mesh.observing.journal import Span
from mesh.service import ServiceContext


class Fallback:
    """Asks at most once on each way that the service has, within one deadline."""

    def __init__(self, service: str, caller: ServiceContext) -> None:
        self._service = service
        self._caller = caller
        self._connections = current_connections()

    async def unary(self, method: Method, request: Message, metadata: Metadata, timeout: float) -> Reply:
        """StatusError with the service's own answer where it gave one, else UNAVAILABLE with the cause of each try."""
        directory = self._caller.directory
        if self._connections is None:
            raise MeshError("a Peer works inside a service that mesh runs")
        http = HttpTransport(self._service, directory, self._connections)
        if not directory.has(self._service, "grpc"):
            return await http.unary(method, request, metadata, timeout)
        grpc = GrpcTransport({method.service: self._service}, directory, self._connections)
        has_second = bool(method.bindings) and not method.streaming and directory.has(self._service, "http")
        safe = method.idempotent or any(name == "idempotency-key" for name, _ in metadata)
        deadline = time.monotonic() + timeout
        try:
            return await grpc.unary(method, request, metadata, _share(timeout) if safe and has_second else timeout)
        except StatusError as error:
            if not has_second or not may_ask_again(error, safe=safe):
                raise
            first = error
        return await self._second(first, lambda left: http.unary(method, request, metadata, left), deadline)

    async def _second(self, first: StatusError, ask: Callable[[float], Awaitable[Reply]], deadline: float) -> Reply:
        at, started = time.time(), time.perf_counter()
        status = "200"
        try:
            return await ask(max(0.0, deadline - time.monotonic()))
        except StatusError as error:
            status = error.code.name if isinstance(error, Unreached) else str(error.http_status)
            if not isinstance(error, Unreached) and error.code is not Code.UNAVAILABLE:
                raise
            causes = f"grpc {first.code.name}: {first.message}; http {error.code.name}: {error.message}"
            raise StatusError(Code.UNAVAILABLE, f"{self._service} is unavailable: {causes}") from first
        finally:
            what = f"{first.code.name}{' (not a gRPC server)' if peer_is_not_grpc(first) else ''}"
            self._note(f"{self._service}.grpc {what} -> http", status, at, started)

    def _note(self, way: str, status: str, at: float, started: float) -> None:
        """Records that the second way was needed, under the call that needed it."""
        call, journal = current_call.get(), self._caller.journal
        if call is not None:
            milliseconds = (time.perf_counter() - started) * 1000
            journal.append(
                Span(
                    self._caller.name,
                    "http",
                    way,
                    call.trace_id,
                    "",
                    call.span_id,
                    at,
                    milliseconds,
                    status,
                    False,
                    way,
                )
            )


def _share(seconds: float) -> float:
    """What the first of two tries gets, so that a server which never answers leaves time for the second."""
    return seconds / 2


def peer_is_not_grpc(error: StatusError) -> bool:
    """Whether something answered at the port that does not speak gRPC; by grpcio's own words (1.85)."""
    return error.code is Code.UNAVAILABLE and "Failed parsing HTTP/2" in error.message


def may_ask_again(error: StatusError, *, safe: bool) -> bool:
    """Whether the same question may be put a second time after this answer.

    safe: asking twice does no harm: the method only reads, or the call carries an idempotency key.

    Only what failed as transport may be asked again; any other code is the service's answer, and final. A write without
    a key is asked again only where it certainly was not executed. UNAVAILABLE alone does not tell: a connection reset
    before the request arrived and one reset after it was executed read the same (measured, docs/calling.md).
    """
    refused = error.code is Code.UNAVAILABLE and "failed to connect" in error.message
    if error.code is Code.UNIMPLEMENTED or refused:
        return True
    return safe and error.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
