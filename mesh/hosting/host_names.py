"""Hosts and ports as services' code writes them, `user-service:50051`, led to the listeners that really run.

For services' code only, and replaced while `Isolation` is installed: `socket.getaddrinfo` and `gethostbyname`
(requests, urllib, http.client, asyncio), the functions of grpc and grpc.aio that make a channel, `anyio.connect_tcp`
(httpx), and in the services' own event loops `getaddrinfo` and `create_connection` (loops.py; aiohttp, and uvloop's
resolver).
"""

from __future__ import annotations

import functools
import inspect
import socket
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from mesh.descriptors import PER_CHANNEL, check_free
from mesh.hosting.arrivals import Arrivals
from mesh.hosting.patches import Patch
from mesh.service import current_service_var
from mesh.topology.model import Address


class HostNames(Patch):
    """A table (declared host, declared port) -> actual address, swapped whole."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__()
        self._arrivals = arrivals
        self._table: Mapping[tuple[str, int], Address] = {}
        self._hosts: Mapping[str, str] = {}

    def point(self, table: Mapping[tuple[str, int], Address]) -> None:
        """From now on these names lead there; a known host on another port leads to that port of the same machine."""
        self._table = {(host.lower(), port): address for (host, port), address in table.items()}
        self._hosts = {host: address.host for (host, _), address in self._table.items()}

    def hosts(self) -> set[str]:
        """Every host that leads to a service of this machine."""
        return set(self._hosts)

    def actual(self, host: Any, port: Any) -> tuple[Any, Any]:
        """Where a service's connection to this host and port goes; anything unknown is left as it is."""
        if not self._table or current_service_var.get() is None or not isinstance(host, (str, bytes)):
            return host, port
        name = (host.decode("ascii", "replace") if isinstance(host, bytes) else host).lower()
        try:
            address = self._table.get((name, int(port or 0)))
        except ValueError:
            return host, port
        return (address.host, address.port) if address else (self._hosts.get(name, host), port)

    def target(self, target: str) -> tuple[str, str | None]:
        """The same for a gRPC target, `user-service:50051` or `dns:///user-service:50051`.

        Returns the target to use, and the authority the code meant where that is another.
        """
        meant = target.removeprefix("dns:").lstrip("/")
        host, _, port = meant.rpartition(":")
        found = self.actual(host, port)
        return (target, None) if found == (host, port) else (str(Address(*found)), meant)

    def install(self) -> None:
        getaddrinfo, gethostbyname = socket.getaddrinfo, socket.gethostbyname

        def own_getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            return getaddrinfo(*self.actual(host, port), *args, **kwargs)

        def own_gethostbyname(hostname: str, /) -> str:
            return gethostbyname(self.actual(hostname, 0)[0])

        self.patches.replace(socket, "getaddrinfo", own_getaddrinfo)
        self.patches.replace(socket, "gethostbyname", own_gethostbyname)
        self._arrivals.when("grpc", self._serve_grpc)
        # Not "anyio": asking it for the function imports 20 ms of ssl, which a start should not pay.
        self._arrivals.when("anyio._core._sockets", self._serve_anyio)

    def _serve_grpc(self, grpc: ModuleType) -> None:
        for module in (grpc, grpc.aio):
            for name in ("insecure_channel", "secure_channel"):
                self.patches.replace(module, name, self._renaming(getattr(module, name)))

    def _renaming(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """A function that makes a channel, to where its target really is; the authority stays the one meant."""
        position = list(inspect.signature(make).parameters).index("options")

        @functools.wraps(make)
        def channel(target: str, *args: Any, **kwargs: Any) -> Any:
            check_free(PER_CHANNEL)
            found, authority = self.target(target)
            if authority is None:
                return make(target, *args, **kwargs)
            given = list(args)
            options = given[position - 1] if len(given) >= position else kwargs.get("options")
            options = [("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0), *(options or ())]
            if len(given) >= position:
                given[position - 1] = options
            else:
                kwargs["options"] = options
            return make(found, *given, **kwargs)

        return channel

    def _serve_anyio(self, sockets: ModuleType) -> None:
        # anyio takes the function from there when it is first asked for it, and keeps it.
        for module in (sockets, sys.modules["anyio"]):
            if "connect_tcp" in vars(module):
                self.patches.replace(module, "connect_tcp", self._redirecting(vars(module)["connect_tcp"]))

    def _redirecting(self, connect: Callable[..., Any]) -> Callable[..., Any]:
        # anyio resolves the host, and then connects to the port it was given.
        @functools.wraps(connect)
        def connect_tcp(remote_host: Any, remote_port: Any, **options: Any) -> Any:
            host, port = self.actual(remote_host, remote_port)
            if options.get("tls") or options.get("ssl_context"):
                options["tls_hostname"] = options.get("tls_hostname") or str(remote_host)
            return connect(host, port, **options)

        return connect_tcp
