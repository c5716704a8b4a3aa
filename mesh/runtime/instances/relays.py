"""Relays for a command whose code has its container's port fixed, while the declaration publishes another."""

from __future__ import annotations

import asyncio
import contextlib
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
        self._end = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"relay to {target}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # which ends what is still open
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._listening)
        await self._end.wait()
        server.close()

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError), closing(writer):  # Either side may leave at any time.
            answers, requests = await asyncio.open_connection(self._target.host, self._target.port)
            with closing(requests):
                await asyncio.gather(_pass(reader, requests), _pass(answers, writer))


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
