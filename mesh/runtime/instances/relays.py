"""Relays for a command whose code has its container's port fixed, while the declaration publishes another."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator, Sequence
from contextlib import closing

from mesh.runtime.instances.port_owner import listening_ports
from mesh.runtime.instances.readiness import LOOPBACK
from mesh.serving.server_sockets import bind
from mesh.sockets import connect
from mesh.topology.model import Address

#: Seconds in which a command that listens there may still come to the port that it was given.
_GIVEN = 0.5
#: Seconds until another attempt, where a connection could not be accepted; and for what is still to be passed on.
_PAUSE, _LAST = 0.1, 1.0
#: Makes the end of a connection an error for the other side.
_BREAK = struct.pack("ii", 1, 0)
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
        #: Neither asyncio nor a stream whose client has sent everything keeps the task of a connection from being
        #: collected as garbage.
        self._connections: set[asyncio.Task[None]] = set()
        #: One for each connection, set when its answer has been passed on.
        self._answers: set[asyncio.Event] = set()
        self._end = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"relay to {target}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, once what the target has answered before its end has been passed on, and after a second at most."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with closing(self._listening), asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._listen()
        await self._end.wait()
        self._loop.remove_reader(self._listening)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST):
                for answered in list(self._answers):
                    await answered.wait()
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
        answered = asyncio.Event()
        task = self._loop.create_task(self._forward(client, answered))
        self._connections.add(task)
        self._answers.add(answered)

        def end(_: object) -> None:
            client.close()
            answered.set()
            self._connections.discard(task)
            self._answers.discard(answered)

        task.add_done_callback(end)

    async def _forward(self, client: socket.socket, answered: asyncio.Event) -> None:
        with contextlib.suppress(OSError):  # Either side may leave at any time.
            reader, writer = await asyncio.open_connection(sock=client)
            try:
                answers, requests = await asyncio.open_connection(self._target.host, self._target.port)
                try:
                    answering = self._loop.create_task(_pass(answers, writer))
                    answering.add_done_callback(lambda _: answered.set())
                    await _exchange(reader, requests, answering, writer)
                finally:
                    requests.transport.abort()
            finally:
                writer.transport.abort()


async def _exchange(
    reader: StreamReader, requests: StreamWriter, answering: asyncio.Task[None], writer: StreamWriter
) -> None:
    try:
        await asyncio.gather(_pass_while_wanted(reader, requests), answering)
    finally:
        if not answering.done() or answering.cancelled() or answering.exception():
            # The client must not take what it has for everything.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK)


async def _pass(source: StreamReader, target: StreamWriter) -> None:
    target.transport.set_write_buffer_limits(0)  # `drain` returns when the system has everything.
    while data := await source.read(_PIECE):
        target.write(data)
        await target.drain()
    target.write_eof()


async def _pass_while_wanted(source: StreamReader, target: StreamWriter) -> None:
    """Pass requests on until the target reads no more of them; its answer may still come."""
    while data := await source.read(_PIECE):
        try:
            target.write(data)
            await target.drain()
        except OSError:
            return
    with contextlib.suppress(OSError):
        target.write_eof()


def _host_of(port: int) -> str | None:
    for host in LOOPBACK:
        with contextlib.suppress(OSError), closing(connect(host, port, 1)):
            return host
    return None
