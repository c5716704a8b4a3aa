"""Relays for a command whose code has its container's port fixed, while the declaration publishes another."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing

from mesh.runtime.instances.port_owner import listening_ports
from mesh.runtime.instances.readiness import LOOPBACK
from mesh.serving.server_sockets import bind
from mesh.sockets import connect
from mesh.topology.model import Address

#: Seconds in which a command that listens there may still come to the port that it was given.
_GIVEN = 0.5
#: Seconds until another attempt, where a connection could not be accepted.
_PAUSE = 0.1
_PIECE = 64 * 1024


class Relays:
    """pairs: of each listener whose two ports differ, the published address, and the container's port."""

    def __init__(self, pairs: Sequence[tuple[Address, int]]) -> None:
        self._pairs = list(pairs)
        self._seen: dict[int, float] = {}
        self._open: list[Relay] = []

    def look(self, pid: int) -> Iterator[str]:
        """Open a relay to each container's port on which the process listens; yield a sentence about it."""
        for pair in [*self._pairs]:
            address, port = pair
            host = _host_of(port)
            if host is None or not self._is_settled(port) or port not in listening_ports(pid):
                continue
            self._pairs.remove(pair)
            try:
                relay = Relay(address, Address(host, port))
            except OSError:  # It listens on both.
                continue
            self._open.append(relay)
            yield f"it listens on {port}, the port of its container: {address.port} is passed on to it"

    def close(self) -> None:
        for relay in self._open:
            relay.close()

    def _is_settled(self, port: int) -> bool:
        return time.monotonic() - self._seen.setdefault(port, time.monotonic()) > _GIVEN


class Relay:
    """Listens on one address and forwards each connection to another, in its own thread; OSError if it is taken."""

    def __init__(self, address: Address, target: Address) -> None:
        self._target = target
        self._listening = bind(address)
        self._listening.listen()
        #: asyncio itself refers to a task weakly, and so does the stream of a client that has sent everything.
        self._connections: set[asyncio.Task[None]] = set()
        self._end = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"relay to {target}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with closing(self._listening), asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._listen()
        await self._end.wait()
        self._loop.remove_reader(self._listening)
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _listen(self) -> None:
        if not self._end.is_set():
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._listening.accept()
        except OSError:  # no descriptor is left, say
            self._loop.remove_reader(self._listening)
            self._loop.call_later(_PAUSE, self._listen)
            return
        task = self._loop.create_task(self._forward(client))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: client.close())

    async def _forward(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # Either side may leave at any time.
            reader, writer = await asyncio.open_connection(sock=client)
            async with _closing(writer):
                answers, requests = await asyncio.open_connection(self._target.host, self._target.port)
                async with _closing(requests):
                    await asyncio.gather(_pass(reader, requests), _pass(answers, writer))


@contextlib.asynccontextmanager
async def _closing(writer: StreamWriter) -> AsyncIterator[None]:
    """Send what is left at the end; drop it in an exception."""
    try:
        yield
        writer.close()
        await writer.wait_closed()
    finally:
        writer.transport.abort()


async def _pass(source: StreamReader, target: StreamWriter) -> None:
    while data := await source.read(_PIECE):
        target.write(data)
        await target.drain()
    target.write_eof()


def _host_of(port: int) -> str | None:
    for host in LOOPBACK:
        with contextlib.suppress(OSError), closing(connect(host, port, 1)):
            return host
    return None
