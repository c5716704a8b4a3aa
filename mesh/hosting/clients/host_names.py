"""Redirects hosts and ports in services' code, such as `user-service:50051`, to the actual listeners.

For services' code only, and patched while `Isolation` is installed: `socket.getaddrinfo` and `gethostbyname`
(requests, urllib, http.client, asyncio), `connect` of a socket (addresses that need no resolver), the functions of grpc
and grpc.aio that make a channel, `anyio.connect_tcp` (httpx), `connect` of psycopg and psycopg2 (postgres.py),
connections of MySQLdb (mysql.py), and in the services' event loops `getaddrinfo` and `create_connection` (loops.py;
aiohttp, and uvloop's resolver).

Every spelling of this machine is one host, `localhost`. The actual port of a listener of this mesh is left unchanged:
an address that was redirected once is not redirected again.
"""

from __future__ import annotations

import errno
import functools
import inspect
import re
import socket
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from mesh.compat.anyio import SOCKETS, modules_with_connect_tcp
from mesh.descriptors import PER_CHANNEL, check_free
from mesh.hosting.clients.mysql import serve_mysqldb
from mesh.hosting.clients.postgres import serve_psycopg, serve_psycopg2
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch
from mesh.service import current_service_var
from mesh.topology.model import LOOPBACK, Address

#: The schemes that may precede the host of a gRPC target.
_TARGET_SCHEME = re.compile(r"^(?:dns:(?://[^/]*/)?|ipv[46]:)/*")

#: An address that nothing reaches.
_NOWHERE = "127.0.0.1"

_LOOPBACK_ADDRESS = re.compile(r"(?:::ffff:)?127(?:\.\d+){1,3}")
_THIS_MACHINE = frozenset(
    {LOOPBACK, "localhost.localdomain", "ip6-localhost", "ip6-loopback", "0.0.0.0", "::", "::1", "host.docker.internal"}
)


@functools.cache
def _host_name() -> str:
    return socket.gethostname().lower()


@functools.lru_cache(maxsize=1024)
def _canonical(host: str) -> str:
    """Return the host in lower case; LOOPBACK for every spelling of this machine."""
    name = host.lower()
    if name in _THIS_MACHINE or _LOOPBACK_ADDRESS.fullmatch(name) or name == _host_name():
        return LOOPBACK
    return name


class HostNames(Patch):
    """A table (declared host, declared port) -> actual address, replaced as a whole.

    everywhere: redirect connections of the whole process, not of services only; for a process that runs tests.
    """

    def __init__(self, import_hooks: ImportHooks, everywhere: bool = False) -> None:
        super().__init__()
        self._import_hooks = import_hooks
        self._everywhere = everywhere
        self._table: Mapping[tuple[str, int], Address] = {}
        self._hosts: Mapping[str, str] = {}
        self._listening: Mapping[int, Address] = {}
        self._owners: Mapping[tuple[str, int], str] = {}

    def point(
        self,
        table: Mapping[tuple[str, int], Address],
        owners: Mapping[Address, str] | None = None,
        externals: Mapping[tuple[str, int], Address] | None = None,
    ) -> None:
        """Redirect these names from now on; a known host with another port leads to that port of the same machine.

        owners: the service that listens at each address. externals: what no service of this mesh is; port 0 stands for
        any port of that host.
        """
        self._owners = {(_canonical(each.host), each.port): name for each, name in (owners or {}).items()}
        self._table = {(_canonical(host), port): address for (host, port), address in table.items()}
        self._listening = {address.port: address for address in self._table.values() if address.port}
        outside = {(_canonical(host), port): address for (host, port), address in (externals or {}).items()}
        self._table = {**outside, **self._table}
        self._hosts = {host: address.host for (host, _), address in self._table.items() if host != LOOPBACK}

    def led_to(self, host: str, port: int) -> tuple[str, str | None]:
        """Return the address to which a service's connection to this host and port goes, and the service there."""
        try:
            address = Address(*self.actual(host, port))
        except ConnectionRefusedError:
            return "", None
        return str(address), self._owners.get((_canonical(address.host), address.port))

    def hosts(self) -> set[str]:
        """Return every host that leads to a service of this machine."""
        return set(self._hosts)

    def actual(self, host: Any, port: Any) -> tuple[Any, Any]:
        """Return the actual destination of a service's connection to this host and port; unknown ones stay unchanged.

        Raises ConnectionRefusedError for a declared port whose service this copy does not run.
        """
        if not self._applies() or not isinstance(host, (str, bytes)):
            return host, port
        name = _canonical(host.decode("ascii", "replace") if isinstance(host, bytes) else host)
        try:
            number = int(port or 0)
        except ValueError:
            return host, port
        address = self._listening.get(number) if name == LOOPBACK else None
        address = address or self._table.get((name, number)) or self._table.get((name, 0))
        if address is None:
            return self._hosts.get(name, host), port
        if not address.port:
            text = f"{name}:{number} is declared by a service that does not run in this copy of the mesh"
            raise ConnectionRefusedError(errno.ECONNREFUSED, text)
        return address.host, address.port

    def actual_for(self, family: int, host: Any, port: Any) -> tuple[Any, Any]:
        """Do the same as `actual` for a socket of this family: IPv4 is reached from one of IPv6 by a mapped address."""
        found, number = self.actual(host, port)
        if family == socket.AF_INET6 and found != host and ":" not in found:
            found = f"::ffff:{found}"
        return found, number

    def _applies(self) -> bool:
        return bool(self._table) and (self._everywhere or current_service_var.get() is not None)

    def target(self, target: str) -> tuple[str, str | None]:
        """Return the same for a gRPC target, `user-service:50051` or `dns:///user-service:50051`.

        Returns the target to use, and the authority that the code meant if that differs.
        """
        meant = _TARGET_SCHEME.sub("", target)
        host, _, port = meant.rpartition(":")
        try:
            found = self.actual(host.strip("[]"), port)
        except ConnectionRefusedError:
            return f"{_NOWHERE}:0", meant  # each call then fails with UNAVAILABLE; creating the channel does not
        if found == (host.strip("[]"), port):
            return target, None
        return str(Address(*found)), meant

    def install(self) -> None:
        getaddrinfo, gethostbyname = socket.getaddrinfo, socket.gethostbyname

        def own_getaddrinfo(host: Any, port: Any, family: int = 0, *args: Any, **kwargs: Any) -> Any:
            return getaddrinfo(*self.actual_for(family, host, port), family, *args, **kwargs)

        def own_gethostbyname(hostname: str, /) -> str:
            return gethostbyname(self.actual(hostname, 0)[0])

        self._redirect_sockets()
        self.patches.replace(socket, "getaddrinfo", own_getaddrinfo)
        self.patches.replace(socket, "gethostbyname", own_gethostbyname)
        self._import_hooks.on_import("grpc", self._serve_grpc)
        self._import_hooks.on_import("psycopg", lambda found: serve_psycopg(found, self.patches, self.actual))
        self._import_hooks.on_import("psycopg2", lambda found: serve_psycopg2(found, self.patches, self.actual))
        self._import_hooks.on_import(
            "MySQLdb.connections", lambda found: serve_mysqldb(found, self.patches, self.actual)
        )
        self._import_hooks.on_import(SOCKETS, self._serve_anyio)

    def _redirect_sockets(self) -> None:
        """Redirect `connect` of sockets: most addresses were resolved above, but IP addresses may not have been."""
        for name in ("connect", "connect_ex"):
            connect = getattr(socket.socket, name)

            def redirected(own: socket.socket, address: Any, /, _connect: Callable[..., Any] = connect) -> Any:
                return _connect(own, self._socket_address(own, address) if self._applies() else address)

            self.patches.replace(socket.socket, name, redirected)

    def _socket_address(self, own: socket.socket, address: Any) -> Any:
        if own.family not in (socket.AF_INET, socket.AF_INET6) or own.type != socket.SOCK_STREAM:
            return address
        host, port, *rest = address
        return (*self.actual_for(own.family, host, port), *rest)

    def _serve_grpc(self, grpc: ModuleType) -> None:
        for module in (grpc, grpc.aio):
            for name in ("insecure_channel", "secure_channel"):
                self.patches.replace(module, name, self._renaming(getattr(module, name)))

    def _renaming(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that creates a channel to the actual target, with the authority that the code meant."""
        position = list(inspect.signature(make).parameters).index("options")

        @functools.wraps(make)
        def channel(target: str, *args: Any, **kwargs: Any) -> Any:
            check_free(PER_CHANNEL)
            found, authority = self.target(target)
            if authority is None:
                return make(target, *args, **kwargs)
            given = list(args)
            options = given[position - 1] if len(given) >= position else kwargs.get("options")
            # The certificate, too, is for the host that the code meant.
            meant = {
                "grpc.default_authority": authority,
                "grpc.ssl_target_name_override": authority.rpartition(":")[0].strip("[]"),
                "grpc.enable_http_proxy": 0,
            }
            options = list({**meant, **dict(options or ())}.items())
            if len(given) >= position:
                given[position - 1] = options
            else:
                kwargs["options"] = options
            return make(found, *given, **kwargs)

        return channel

    def _serve_anyio(self, sockets: ModuleType) -> None:
        for module in modules_with_connect_tcp(sockets):
            self.patches.replace(module, "connect_tcp", self._redirecting(vars(module)["connect_tcp"]))

    def _redirecting(self, connect: Callable[..., Any]) -> Callable[..., Any]:
        # anyio resolves the host, and then connects to the given port.
        @functools.wraps(connect)
        def connect_tcp(remote_host: Any, remote_port: Any, **options: Any) -> Any:
            host, port = self.actual(remote_host, remote_port)
            if options.get("tls") or options.get("ssl_context"):
                options["tls_hostname"] = options.get("tls_hostname") or str(remote_host)
            return connect(host, port, **options)

        return connect_tcp
