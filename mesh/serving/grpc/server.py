"""The gRPC servers of a service: one for plain servicers, one for async ones; both call a dispatcher."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import grpc
import grpc.aio

from mesh.contract.servicers import Handlers, is_async
from mesh.descriptors import limit
from mesh.layers import STOPPED
from mesh.serving.grpc.call_queue import CallQueue, RefusingQueue
from mesh.serving.grpc.dispatcher import MethodDispatcher
from mesh.topology.model import Address, Grpc

#: Seconds for telling the callers of calls that are cut at the end of the grace, before their connections are closed.
CUT_WITHIN = 0.5

_OPTIONS: dict[str, int | str] = {
    # By default a second process binds the same port without an error, and callers reach either of the two.
    "grpc.so_reuseport": 0,
    "grpc.max_receive_message_length": 4 * 1024 * 1024,
    # As for HTTP: seconds from a connection to the first bytes of its client.
    "grpc.server_handshake_timeout_ms": 20_000,
}


# The originals: a service whose program makes servers finds others in their place (mesh/hosting/mains).
_server, _aio_server = grpc.server, grpc.aio.server


#: By the name of an algorithm, its number in gRPC's option.
_COMPRESSION = {"deflate": 1, "gzip": 2}


def declared_options(declared: Grpc) -> dict[str, int | str]:
    """Return the options that a listener declares, with the one for its compression."""
    number = _COMPRESSION.get(declared.compression)
    chosen = {} if number is None else {"grpc.default_compression_algorithm": number}
    return {**chosen, **declared.options}


def all_options(declared: Mapping[str, int | str]) -> list[tuple[str, int | str]]:
    """Return the options of a server; without a limit on connections, gRPC would use up every descriptor."""
    limited = {"grpc.max_allowed_incoming_connections": max(8, limit() // 8)}
    return [*{**_OPTIONS, **limited, **declared}.items()]


class GrpcServer(Protocol):
    """Started and stopped in the service's loop.

    options: as declared; they take precedence over mesh's own. credentials: `grpc.ServerCredentials` of its TLS.
    """

    def __init__(
        self, dispatcher: MethodDispatcher, queue: CallQueue, options: Mapping[str, int | str], credentials: Any = None
    ) -> None: ...

    async def start(self, held: socket.socket) -> None:
        """Take over the port of a bound socket that does not listen; raises OSError if the port is lost meanwhile."""
        ...

    async def stop(self, grace: float) -> None:
        """Stop listening, let calls in flight end for `grace` seconds, and end the rest with UNAVAILABLE."""
        ...


class SyncServer:
    """A thread of the queue's pool for each call: flat up to many services in one process (docs/hosting.md)."""

    def __init__(
        self, dispatcher: MethodDispatcher, queue: CallQueue, options: Mapping[str, int | str], credentials: Any = None
    ) -> None:
        pool: Any = RefusingQueue(queue, dispatcher.spare)  # grpc only submits to it
        self._server = _server(pool, handlers=[dispatcher], options=all_options(options))
        self._calls = dispatcher.calls
        self._credentials = credentials

    async def start(self, held: socket.socket) -> None:
        take_over(held, self._server, self._credentials)
        self._server.start()

    async def stop(self, grace: float) -> None:
        stopped = self._server.stop(grace + CUT_WITHIN)
        loop = asyncio.get_running_loop()
        # Not in the loop's own executor, whose threads the service may keep busy.
        with ThreadPoolExecutor(1, thread_name_prefix="grpc stop") as waiter:
            if not await loop.run_in_executor(waiter, stopped.wait, grace):
                self._calls.cut(STOPPED)
                await loop.run_in_executor(waiter, stopped.wait, CUT_WITHIN)


class AioServer:
    """A server for servicers with coroutine functions, in the loop that runs them; their plain methods run in threads.

    LayeredAio runs those in threads of the queue; the server's own pool is for the standard services.
    """

    def __init__(
        self, dispatcher: MethodDispatcher, queue: CallQueue, options: Mapping[str, int | str], credentials: Any = None
    ) -> None:
        self._server = _aio_server(
            migration_thread_pool=dispatcher.spare, handlers=[dispatcher], options=all_options(options)
        )
        self._calls = dispatcher.calls
        self._credentials = credentials

    async def start(self, held: socket.socket) -> None:
        take_over(held, self._server, self._credentials)
        await self._server.start()

    async def stop(self, grace: float) -> None:
        stopping = asyncio.ensure_future(self._server.stop(grace + CUT_WITHIN))
        _, unfinished = await asyncio.wait([stopping], timeout=grace)
        if unfinished:
            self._calls.cut(STOPPED)
        await stopping


def kind_of_server(handlers: Handlers) -> type[GrpcServer]:
    """Return the server that these methods need."""
    return AioServer if any(is_async(handler) for handler in handlers.by_path.values()) else SyncServer


def take_over(held: socket.socket, server: Any, credentials: Any = None) -> None:
    """Release a port and let gRPC bind it: gRPC accepts no socket that was bound elsewhere."""
    host, port = held.getsockname()[:2]
    held.close()
    address = str(Address(host, port))
    try:
        if credentials is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"gRPC could not take over {Address(host, port)}: {error}") from error
