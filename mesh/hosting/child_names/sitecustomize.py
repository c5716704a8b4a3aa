"""Redirects the names in MESH_NAMES to their addresses, in a Python process that mesh has started.

A port of the container that its code listens on becomes the one that MESH_PORTS gives it.

Only the standard library is imported, and nothing of mesh; any Python from 3.6 on runs this, without
postponed annotations.
"""

import functools
import importlib.abc
import importlib.util
import inspect
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_LOCAL = re.compile(r"localhost(\.localdomain)?|127(\.\d+){1,3}|::1|0\.0\.0\.0|::|host\.docker\.internal")


def _canonical(host: "str | bytes") -> str:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    return "localhost" if _LOCAL.fullmatch(name.lower()) else name.lower()


def _table() -> "dict[str, tuple[str, int]]":
    try:
        return {
            name: (address[0], address[1]) for name, address in json.loads(os.environ.get("MESH_NAMES", "{}")).items()
        }
    except ValueError:
        return {}


def _ports() -> "dict[int, int]":
    try:
        return {int(port): given for port, given in json.loads(os.environ.get("MESH_PORTS", "{}")).items()}
    except ValueError:
        return {}


_NAMES = _table()
_PORTS = _ports()
_KNOWN = {name.rpartition(":")[0]: address[0] for name, address in _NAMES.items()}


def actual(host: Any, port: Any) -> "tuple[Any, Any]":
    """Return where a host and port lead; the same if mesh knows nothing of them."""
    if not isinstance(host, (str, bytes)):
        return host, port
    name = _canonical(host)
    found = _NAMES.get(f"{name}:{port or 0}") or _NAMES.get(name + ":0")
    if found is not None:
        return found
    return (host if name == "localhost" else _KNOWN.get(name, host)), port


def _patch_sockets() -> None:
    getaddrinfo, gethostbyname = socket.getaddrinfo, socket.gethostbyname

    @functools.wraps(getaddrinfo)
    def own_getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return getaddrinfo(*actual(host, port), *args, **kwargs)

    @functools.wraps(gethostbyname)
    def own_gethostbyname(hostname: str) -> str:
        return gethostbyname(actual(hostname, 0)[0])

    module: Any = socket
    module.getaddrinfo, module.gethostbyname = own_getaddrinfo, own_gethostbyname
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _connecting(getattr(socket.socket, name)))


def _connecting(connect: "Callable[..., Any]") -> "Callable[..., Any]":
    @functools.wraps(connect)
    def redirected(own: socket.socket, address: Any) -> Any:
        if own.family == socket.AF_INET and own.type == socket.SOCK_STREAM:
            address = actual(*address)
        return connect(own, address)

    return redirected


def _patch_listening() -> None:
    bind: Any = socket.socket.bind

    @functools.wraps(bind)
    def own_bind(own: socket.socket, address: Any) -> Any:
        if own.family in (socket.AF_INET, socket.AF_INET6) and own.type == socket.SOCK_STREAM:
            address = (address[0], _PORTS.get(address[1], address[1]), *address[2:])
        return bind(own, address)

    setattr(socket.socket, "bind", own_bind)  # noqa: B010


def _patch_grpc_servers(grpc: Any) -> None:
    def listening(add: "Callable[..., Any]") -> "Callable[..., Any]":
        @functools.wraps(add)
        def added(own: Any, address: str, *args: Any, **options: Any) -> Any:
            host, colon, port = address.rpartition(":")
            given = _PORTS.get(int(port), port) if port.isdigit() else port
            return add(own, f"{host}{colon}{given}", *args, **options)

        return added

    def making(make: "Callable[..., Any]") -> "Callable[..., Any]":
        @functools.wraps(make)
        def made(*args: Any, **options: Any) -> Any:
            server = make(*args, **options)
            for name in ("add_insecure_port", "add_secure_port"):
                add = getattr(type(server), name)
                if not hasattr(add, "__wrapped__"):
                    setattr(type(server), name, listening(add))
            return server

        return made

    modules: Sequence[Any] = [grpc, sys.modules.get("grpc.aio")]
    for module in filter(None, modules):
        module.server = making(module.server)


def _patch_grpc(grpc: Any) -> None:
    def channel(make: "Callable[..., Any]") -> "Callable[..., Any]":
        @functools.wraps(make)
        def made(target: str, *args: Any, **kwargs: Any) -> Any:
            host, colon, port = re.sub(r"^(dns|ipv4):/*", "", target).rpartition(":")
            found = actual(host, port) if colon else (host, port)
            if found == (host, port):
                return make(target, *args, **kwargs)
            given = inspect.signature(make).bind(f"{found[0]}:{found[1]}", *args, **kwargs)
            # The certificate is for the host that the code meant.
            meant = {"grpc.ssl_target_name_override": host.strip("[]")}
            given.arguments["options"] = list({**meant, **dict(given.arguments.get("options") or ())}.items())
            return make(*given.args, **given.kwargs)

        return made

    if _PORTS:
        _patch_grpc_servers(grpc)
    for module in (grpc, sys.modules.get("grpc.aio")):
        for name in ("insecure_channel", "secure_channel"):
            if hasattr(module, name):
                setattr(module, name, channel(getattr(module, name)))


def _libpq(parameters: "Mapping[str, Any]") -> "Mapping[str, Any]":
    """Return libpq's parameters with the actual address; it looks names up by itself."""
    host = parameters.get("host") or os.environ.get("PGHOST") or ""
    port = parameters.get("port") or os.environ.get("PGPORT") or "5432"
    found = actual(host, port) if host and not host.startswith("/") else (host, port)
    return parameters if found == (host, port) else {**parameters, "host": found[0], "port": str(found[1])}


def _patch_psycopg2(psycopg2: Any) -> None:
    connect, extensions = psycopg2.connect, psycopg2.extensions

    @functools.wraps(connect)
    def own_connect(
        dsn: "str | None" = None, connection_factory: Any = None, cursor_factory: Any = None, **kwargs: Any
    ) -> Any:
        parameters = extensions.parse_dsn(extensions.make_dsn(dsn, **kwargs)) if dsn or kwargs else {}
        return connect(extensions.make_dsn(**_libpq(parameters)), connection_factory, cursor_factory)

    psycopg2.connect = own_connect


def _patch_psycopg(psycopg: Any) -> None:
    def connecting(real: "Callable[..., Any]") -> Any:
        own = {name for name, each in inspect.signature(real).parameters.items() if each.kind is each.KEYWORD_ONLY}

        def connect(cls: Any, conninfo: str = "", **options: Any) -> Any:
            given = {name: options.pop(name) for name in own & set(options)}
            parameters = psycopg.conninfo.conninfo_to_dict(conninfo, **options)
            return real(cls, psycopg.conninfo.make_conninfo(**_libpq(parameters)), **given)

        functools.update_wrapper(connect, real)
        return classmethod(connect)  # type: ignore[arg-type]  # Python 3.6 has no positional-only parameters

    for kind in (psycopg.Connection, psycopg.AsyncConnection):
        kind.connect = connecting(vars(kind)["connect"].__func__)
    psycopg.connect = psycopg.Connection.connect


def _patch_mysqldb(connections: Any) -> None:
    """Redirect its connections, whose names a C library looks up; `localhost` means a Unix socket there."""
    real = connections.Connection.__init__

    @functools.wraps(real)
    def connect(own: Any, *args: Any, **options: Any) -> None:
        names = ("host", "user", "password", "database", "port")
        if len(args) <= len(names):
            options.update(zip(names, args))  # noqa: B905  # Python before 3.10 has no strict
            args = ()
        host = options.get("host")
        if host and host != "localhost" and not options.get("unix_socket"):
            found, port = actual(host, options.get("port") or 3306)
            options.update(host="127.0.0.1" if found == "localhost" else found, port=int(port))
        real(own, *args, **options)

    connections.Connection.__init__ = connect


def _patch_uvloop(uvloop: Any) -> None:
    """Redirect its loops, which look names up in C."""
    create, look_up = uvloop.Loop.create_connection, uvloop.Loop.getaddrinfo

    async def create_connection(self: Any, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        found = actual(host, port)
        if options.get("ssl") and found[0] != host and not options.get("server_hostname"):
            options["server_hostname"] = host
        return await create(self, factory, *found, **options)

    async def getaddrinfo(self: Any, host: Any, port: Any, **options: Any) -> Any:
        return await look_up(self, *actual(host, port), **options)

    uvloop.Loop.create_connection, uvloop.Loop.getaddrinfo = create_connection, getaddrinfo
    serve = uvloop.Loop.create_server

    async def create_server(self: Any, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        return await serve(self, factory, host, _PORTS.get(port, port), **options)

    uvloop.Loop.create_server = create_server


class PatchesOnImport(importlib.abc.MetaPathFinder):
    """Patches a module when it has been imported."""

    def __init__(self) -> None:
        self._waiting: dict[str, Callable[[Any], None]] = {
            "grpc": _patch_grpc,
            "MySQLdb.connections": _patch_mysqldb,
            "psycopg": _patch_psycopg,
            "psycopg2": _patch_psycopg2,
            "uvloop": _patch_uvloop,
        }

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None", target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        patch = self._waiting.pop(fullname, None)
        spec = importlib.util.find_spec(fullname) if patch else None
        if patch is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            patch(module)

        loader: Any = spec.loader
        loader.exec_module = exec_module
        return spec


def _import_hidden() -> None:
    """Import the `sitecustomize` that this one hides, of the environment or of the system."""
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in [each for each in sys.path if os.path.abspath(each) != here]:
        file = os.path.join(folder, "sitecustomize.py")
        if os.path.isfile(file):
            spec = importlib.util.spec_from_file_location("sitecustomize", file)
            if spec is not None and spec.loader is not None:
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
            return


if _PORTS:
    _patch_listening()
if _NAMES:
    _patch_sockets()
if _NAMES or _PORTS:
    sys.meta_path.insert(0, PatchesOnImport())
_import_hidden()
