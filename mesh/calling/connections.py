"""The open channels and HTTP connections of a service, each used only in the event loop that it belongs to."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from mesh.descriptors import PER_CHANNEL, check_free
from mesh.errors import Code, StatusError
from mesh.service import current_service_var
from mesh.sockets import socket_of
from mesh.topology.model import Address

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from mesh.calling.background import Background

CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    # gRPC's default pauses between attempts to connect grow to two minutes; with these, a restarted server is used
    # again within 0.2 s. The largest pause is the one that matters.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    # Not a pause, despite its name: the time in which a server must send its first bytes, however busy it is.
    ("grpc.min_reconnect_backoff_ms", 1000),
    # Otherwise another channel to the same address, opened with other options, would share its pauses.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]

ChannelOptions = Sequence[tuple[str, Any]]


class Connections:
    """Connections are opened on first use and kept; a new gRPC channel costs about a millisecond.

    They belong to the service's loop. Calls from plain code and from other loops, which may be closed at any
    moment, are made in the background: in a loop that lives as long as the service and has its own connections.
    """

    def __init__(self) -> None:
        self._channels: dict[object, grpc.aio.Channel] = {}
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._background: Background | None = None
        self._closed = False
        self._lock = threading.Lock()

    def belong_to_this_loop(self) -> None:
        """Record the running loop as the service's loop."""
        self._loop = asyncio.get_running_loop()

    def are_of_this_loop(self) -> bool:
        """Return True in the service's loop; False in any other and outside of loops."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def background(self) -> Background:
        """Return the loop for calls from elsewhere, started on first use; raises StatusError after `close()`."""
        with self._lock:
            if self._closed:
                raise StatusError(Code.UNAVAILABLE, "the service has stopped and makes no more calls")
            if self._background is None:
                from mesh.calling.background import Background  # imported late: it has connections itself

                self._background = Background()
            return self._background

    def channel(
        self, address: Address, options: ChannelOptions = (), credentials: grpc.ChannelCredentials | None = None
    ) -> grpc.aio.Channel:
        """Return the channel to this address with these options, which take precedence over CHANNEL_OPTIONS.

        Raises StatusError if there are no descriptors for a new one.
        """
        key = (address, tuple(options), credentials)
        if key not in self._channels:
            check_free(PER_CHANNEL)
            target, merged = str(address), list({**dict(CHANNEL_OPTIONS), **dict(options)}.items())
            self._channels[key] = (
                grpc.aio.insecure_channel(target, options=merged)
                if credentials is None
                else grpc.aio.secure_channel(target, credentials, options=merged)
            )
        return self._channels[key]

    async def session(self) -> ClientSession:
        """Return an HTTP client that follows no redirect, keeps no cookie and leaves bodies as they are."""
        if "aiohttp" not in sys.modules or self._session is None:
            # an import of 90 ms, which must delay neither the start nor the loop
            await asyncio.to_thread(importlib.import_module, "aiohttp")
        if self._session is None:
            import aiohttp

            # Servers close a connection after about 5 s without a request; one must not be reused at that moment.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3, socket_factory=socket_of)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            )
        return self._session

    async def close(self) -> None:
        with self._lock:
            self._closed, background, self._background = True, self._background, None
        if background is not None:
            await asyncio.to_thread(background.close)
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()
        if self._session is not None:
            await self._session.close()


def connection_headers(url: str) -> list[tuple[str, str]]:
    """Return the headers of a request that is not to be kept open.

    The end of a kept connection over TLS outlasts that of its session, and then of the loop.
    """
    return [("connection", "close")] if url.startswith("https:") else []


def current_connections() -> Connections | None:
    """Return the connections of the current service, or None outside of one; its instance closes them."""
    service = current_service_var.get()
    found = service.connections if service is not None else None
    return found if isinstance(found, Connections) else None


def warm_up() -> None:
    """Import in a separate thread what the first call over HTTP would otherwise wait for."""
    threading.Thread(target=importlib.import_module, args=("aiohttp",), name="warm-up", daemon=True).start()
