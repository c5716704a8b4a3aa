"""gRPC first, then HTTP: two transports to one service, as one backend."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from itertools import count

from google.protobuf.message import Message
from msgspec.structs import replace

from mesh.calling.connections import Connections
from mesh.calling.grpc_transport import GrpcTransport
from mesh.calling.http_transport import HttpTransport, Unreached
from mesh.calling.peer.interceptors import OutgoingCall, intercepted
from mesh.calling.peer.options import CallOptions, PeerOptions
from mesh.compat.grpcio import is_not_http2, is_unconnected
from mesh.contract import Reply
from mesh.contract.backends.backend import Frame
from mesh.errors import Code, MeshError, StatusError
from mesh.observing.outgoing import Attempts
from mesh.service import ServiceContext
from mesh.topology.model import Address, Kind


class Fallback:
    """Calls at most once over each transport that the service has, within one deadline.

    connections: of the running loop. at: the address of a server outside the topology, which has gRPC only.
    """

    def __init__(
        self,
        caller: ServiceContext,
        connections: Connections,
        options: PeerOptions,
        call_options: CallOptions,
        at: Address | None,
    ) -> None:
        self._caller = caller
        self._connections = connections
        self._options = options
        self._at = at
        wait = call_options.wait_for_ready
        self._waits = options.wait_for_ready if wait is None else wait
        self._attempts = Attempts()
        self._compression = options.compression if call_options.compression is None else call_options.compression

    async def unary(self, call: OutgoingCall) -> Reply:
        """Make the call, and repeat it if that is allowed and requested; raises as `_once`. `call` has a timeout."""
        deadline = time.monotonic() + (call.timeout or 0.0)
        retry = self._options.retry if is_safe(call) else None
        for failures in count(1):
            try:
                return await self._once(call, deadline - time.monotonic())
            except StatusError as error:
                pause = retry.pause(failures) if retry and error.code is Code.UNAVAILABLE else None
                if pause is None or pause >= deadline - time.monotonic():
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("count() does not end")

    async def _once(self, call: OutgoingCall, timeout: float) -> Reply:
        """Raise StatusError with the service's own answer, or UNAVAILABLE with the cause of each attempt."""
        if not self._has_grpc(call):
            return await self._unary_over("http", call, timeout)
        self._attempts.way = None
        has_second = self._has_http(call)
        deadline = time.monotonic() + timeout
        try:
            share = _share(timeout) if is_safe(call) and has_second else timeout
            return await self._unary_over("grpc", call, share)
        except StatusError as error:
            if not has_second or not may_ask_again(error, safe=is_safe(call)):
                raise
            first = error
        with self._second(call, first):
            return await self._unary_over("http", call, max(0.0, deadline - time.monotonic()))

    async def frames(self, call: OutgoingCall) -> AsyncGenerator[Frame, None]:
        """Yield the frames of a stream; the second transport is only tried before the first message."""
        if not self._has_grpc(call):
            async with aclosing(self._frames_over("http", call)) as frames:
                async for frame in frames:
                    yield frame
            return
        answered = False
        try:
            async with aclosing(self._frames_over("grpc", call)) as frames:
                async for frame in frames:
                    answered = answered or isinstance(frame, Message)
                    yield frame
            return
        except StatusError as error:
            if answered or not self._has_http(call) or not may_ask_again(error, safe=is_safe(call)):
                raise
            first = error
        with self._second(call, first):
            async with aclosing(self._frames_over("http", call)) as frames:
                async for frame in frames:
                    yield frame

    async def _unary_over(self, kind: Kind, call: OutgoingCall, timeout: float) -> Reply:
        attempt = replace(call, transport=kind, metadata=list(call.metadata), timeout=timeout)
        async with intercepted(attempt, self._options.interceptors):
            limit = timeout if attempt.timeout is None else attempt.timeout
            assert isinstance(attempt.request, Message)
            transport = self._grpc(call) if kind == "grpc" else self._http(call)
            with self._attempts.next():
                return await transport.unary(attempt.method, attempt.request, attempt.metadata, limit)
        raise _swallowed(call)

    async def _frames_over(self, kind: Kind, call: OutgoingCall) -> AsyncGenerator[Frame, None]:
        attempt = replace(call, transport=kind, metadata=list(call.metadata))
        method, request, metadata, timeout = attempt.method, attempt.request, attempt.metadata, attempt.timeout
        ended = False
        async with intercepted(attempt, self._options.interceptors):
            timeout = attempt.timeout
            if kind == "grpc":
                requests = _one(request) if isinstance(request, Message) else request
                frames = self._grpc(call).frames(method, requests, metadata, timeout)
            else:
                assert isinstance(request, Message)
                frames = self._http(call).frames(method, request, metadata, timeout)
            async with aclosing(frames):
                # Not around the whole stream: what it yields to is not part of the attempt.
                with self._attempts.next():
                    frame = await anext(frames, None)
                while frame is not None:
                    yield frame
                    frame = await anext(frames, None)
            ended = True
        if not ended:
            raise _swallowed(call)

    def _grpc(self, call: OutgoingCall) -> GrpcTransport:
        return GrpcTransport(
            {call.method.service: call.service},
            self._caller.directory,
            self._connections,
            at=self._at,
            channel_options=self._options.channel_options,
            credentials=self._options.credentials,
            wait_for_ready=self._waits,
            compression=self._compression,
        )

    def _http(self, call: OutgoingCall) -> HttpTransport:
        return HttpTransport(call.service, self._caller.directory, self._connections)

    def _has_grpc(self, call: OutgoingCall) -> bool:
        return self._at is not None or self._caller.directory.has(call.service, "grpc")

    def _has_http(self, call: OutgoingCall) -> bool:
        """Return True if the service may be called over HTTP after gRPC has failed."""
        if self._at is not None or self._options.credentials is not None or self._waits:
            return False
        method = call.method
        return (
            bool(method.bindings) and not method.client_streaming and self._caller.directory.has(call.service, "http")
        )

    @contextmanager
    def _second(self, call: OutgoingCall, first: StatusError) -> Iterator[None]:
        """Around the second attempt: its record says what it follows, and its error names the causes of both."""
        what = f"{first.code.name}{' (not a gRPC server)' if peer_is_not_grpc(first) else ''}"
        self._attempts.way = f"{call.service}.grpc {what} -> http"
        try:
            yield
        except StatusError as error:
            if not isinstance(error, Unreached) and error.code is not Code.UNAVAILABLE:
                raise
            causes = f"grpc {first.code.name}: {first.message}; http {error.code.name}: {error.message}"
            raise StatusError(Code.UNAVAILABLE, f"{call.service} is unavailable: {causes}") from first


def is_safe(call: OutgoingCall) -> bool:
    """Return True if repeating does no harm: the method only reads, or the call carries an idempotency key."""
    return call.method.idempotent or any(name == "idempotency-key" for name, _ in call.metadata)


async def _one(request: Message) -> AsyncIterator[Message]:
    yield request


def _swallowed(call: OutgoingCall) -> MeshError:
    return MeshError(f"an interceptor suppressed the error of {call.method} without providing an answer; raise it")


def _share(seconds: float) -> float:
    """Return the first attempt's share of the time, so that a silent server leaves time for the second."""
    return seconds / 2


def peer_is_not_grpc(error: StatusError) -> bool:
    """Return whether something answered at the port that does not speak gRPC; by grpcio's own words."""
    return error.code is Code.UNAVAILABLE and is_not_http2(error.message)


def may_ask_again(error: StatusError, *, safe: bool) -> bool:
    """Return whether the same call may be repeated after this answer.

    safe: repeating does no harm: the method only reads, or the call carries an idempotency key.

    Only transport failures may be repeated; any other code is the service's answer, and final. A write without
    a key is repeated only if it certainly was not executed. UNAVAILABLE alone does not tell: a connection reset
    before the request arrived and one reset after it was executed look the same (measured, docs/calling.md).
    """
    refused = error.code is Code.UNAVAILABLE and is_unconnected(error.message)
    if error.code is Code.UNIMPLEMENTED or refused:
        return True
    return safe and error.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
