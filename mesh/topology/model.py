"""A topology as declared: frozen, and independent of anything that runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from msgspec import Struct, field
from msgspec.structs import replace

Kind = Literal["http", "grpc", "tcp"]
Isolation = Literal["thread", "process"]


class Address(Struct, frozen=True):
    """A host and a port; port 0 requests any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse `host:port` or `[v6]:port`; raises ValueError for anything else."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not an address of the form host:port")
        return cls(host.strip("[]"), int(port))


#: What calls in flight get when their service stops, unless the topology says otherwise.
GRACE_SECONDS = 5.0
#: In an alias, matches every spelling of this machine: `localhost`, `127.0.0.1`, `::1`, its host name, ...
LOOPBACK = "localhost"
#: In `ready`, precedes the regular expression of a line.
LOG = "log:"


class Tls(Struct, frozen=True):
    """PEM files of a listener that encrypts: its certificate, with the chain if there is one, and the private key.

    client_ca: certificates of which one must have signed that of each client; without it, clients need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


class Limits(Struct, frozen=True):
    """What an HTTP listener accepts; beyond it, requests are answered as docs/http.md says.

    requests: in flight at once; None for any number. url_bytes: of path and query. headers, header_bytes: of one
        request. header_seconds: to the end of the headers. body_seconds: without a byte of a body whose length was
        announced. idle_seconds: that a connection is kept without a request.
    """

    requests: int | None = None
    url_bytes: int = 16 * 1024
    headers: int = 100
    header_bytes: int = 32 * 1024
    header_seconds: float = 20.0
    body_seconds: float = 60.0
    # A request sent just when its connection is closed is lost: uvicorn's 5 s are a pause that people and tests often
    # make, these are not (nginx keeps a connection as long).
    idle_seconds: float = 75.0


class Http(Struct, frozen=True):
    """A service's HTTP listener.

    ports: one server listens on all of them.
    app: an ASGI or WSGI application or a factory of one, as an object or as `"module:attribute"`; without one the
        listener serves the REST API of the service's own contract.
    contracts: names of services whose contracts are mounted under `prefix`, beside the app, over their gRPC channels.
    aliases: `host:port` pairs under which other services' code knows this listener.
    hosts: names in the Host header by which browsers may reach this listener, beside loopback, the service's name and
        the aliases; `.shop.test` is `shop.test` and every name below it, `*` is any.
    origins: origins (`https://shop.test`) whose pages may send requests that change something and open WebSockets,
        beside those on loopback and those that the application allows by CORS; `*` is any.
        Neither is checked if mesh listens beyond loopback.
    unknown_fields: whether the contracts served here refuse a field they do not know, or ignore it as Envoy does.
    root_path: the path, such as `/api`, under which a proxy publishes the application and which it removes.
    tls: it serves HTTPS. limits: of its requests.
    """

    kind: ClassVar[Kind] = "http"
    ports: tuple[int, ...]
    app: Any = None
    contracts: tuple[str, ...] = ()
    prefix: str = ""
    aliases: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    unknown_fields: Literal["reject", "ignore"] = "reject"
    root_path: str = ""
    tls: Tls | None = None
    limits: Limits = field(default_factory=Limits)


#: Threads for the plain methods of a service that declares no other number.
GRPC_WORKERS = 100


class Grpc(Struct, frozen=True):
    """A service's gRPC listener.

    servicers: classes, objects, or functions that take the server; as objects or as `"module:attribute"`.
    services: full names of the protobuf services behind it (`"user.UserService"`); callers and mounts find the contract
        by them even if the service itself does not run. Without them they are read from the servicers.
    aliases: `host:port` pairs under which other services' code knows this listener.
    workers: threads for plain methods. queue: calls that may wait for one. queue_seconds: how long each may wait before
        it gets RESOURCE_EXHAUSTED.
    interceptors: around the methods, the first one outermost; objects, or what makes them, as objects or as
        `"module:attribute"`. compression: of the answers, `"gzip"` or `"deflate"`.
    options: of the server, by the names that gRPC gives its channel arguments, such as
        `{"grpc.max_receive_message_length": 16_777_216}`. tls: its connections are encrypted.
    """

    kind: ClassVar[Kind] = "grpc"
    port: int
    servicers: tuple[Any, ...] = ()
    services: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    workers: int = GRPC_WORKERS
    queue: int = 1000
    queue_seconds: float = 1.0
    interceptors: tuple[Any, ...] = ()
    compression: Literal["none", "deflate", "gzip"] = "none"
    options: Mapping[str, int | str] = field(default_factory=dict)
    tls: Tls | None = None

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port,)


class Tcp(Struct, frozen=True):
    """A listener of another protocol, of a command or an image: a database's, say.

    aliases: `host:port` pairs under which other services' code knows this listener.
    """

    kind: ClassVar[Kind] = "tcp"
    ports: tuple[int, ...]
    aliases: tuple[str, ...] = ()


class Service(Struct, frozen=True):
    """One service: its listeners, its dependencies, and the location of its code.

    root: its own import root and working folder, if any.
    env: environment variables that this service alone sees, those of its files among them.
    protos: folders of .proto files for this service alone.
    run: the command that starts its Python program (mesh/python_command.py): its main runs in a thread of the service,
        and the servers that it makes are served by the listeners.
    command: a child process instead of Python code, as typed in a shell; with an image, its arguments.
    image: what is run by a container engine, or by the program itself where it is installed. volumes: its mounts, as
    Compose writes them.
    ready: when a command counts as ready: `"port"`, an HTTP path such as `"/health"`, `"log: listening on"`: when it
        has printed a line in which this regular expression is found, or `"done"`: when it has ended with status 0, as
        a migration does.
    isolation: where its Python code runs; None lets mesh choose: in a thread, unless native code needs a process.
    watch: patterns of further files below `root` whose change reloads the service.
    python: the virtual environment whose packages it uses, its python, or a site-packages folder. Without it, the
        nearest `.venv` or `venv` from its root up to the project's folder, else the environment of mesh.
    requirements: lines of a requirements.txt that it is installed with, in place of the files in its root or above.
    private: installed packages that are executed separately for this service, beside those that mesh knows; shared:
        exceptions from these.
    profiles: it runs only if one of these is asked for, or itself; without any, always.
    grace: seconds that its calls in flight, or its process, get when it stops; None for the topology's.
    keep: modules of its own, by name, that a reload executes only if their code, or code that they import, has changed;
    fresh: those that every reload executes.
    """

    name: str
    http: Http | None = None
    grpc: Grpc | None = None
    tcp: Tcp | None = None
    depends_on: tuple[str, ...] = ()
    root: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    protos: tuple[Path, ...] = ()
    run: str | None = None
    command: str | None = None
    image: str | None = None
    volumes: tuple[str, ...] = ()
    ready: str = "port"
    isolation: Isolation | None = None
    watch: tuple[str, ...] = ()
    python: Path | None = None
    requirements: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    grace: float | None = None
    keep: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    @property
    def ready_line(self) -> str | None:
        """Return the regular expression of the line that a command prints when it is ready; None for other signs."""
        return self.ready.removeprefix(LOG).strip() if self.ready.startswith(LOG) else None

    @property
    def listeners(self) -> tuple[Http | Grpc | Tcp, ...]:
        return tuple(listener for listener in (self.http, self.grpc, self.tcp) if listener is not None)

    @property
    def is_named(self) -> bool:
        """Return True if its code is named, as another process can load it, rather than given as objects."""
        grpc = self.grpc
        given = (self.http and self.http.app, *((*grpc.servicers, *grpc.interceptors) if grpc else ()))
        return all(each is None or isinstance(each, str) for each in given)

    @property
    def is_process(self) -> bool:
        """Return True for a service that is no Python code: a command, or an image."""
        return self.command is not None or self.image is not None


@dataclass(frozen=True, init=False)
class Topology:
    """A named set of services.

    folder: the project's folder; `.mesh/` is kept there.
    source: the file that declares the topology, if known.
    protos: folders of .proto files for every service.
    descriptors: files with a serialized FileDescriptorSet, for contracts whose protos are already compiled.
    secrets: names of fields, parameters and headers that are masked where calls are shown, beside those that speak of
        a secret.
    grace: seconds that calls in flight get when their service stops.
    externals: addresses of what mesh does not run, by the name, or the `name:port`, that code has for each.
    files: beside `source`, files of variables that the declaration was read with.
    remarks: sentences about what the declaration leaves open.
    origin: what it was found in, if nothing declares it.
    """

    name: str
    services: tuple[Service, ...]
    folder: Path
    source: Path | None
    protos: tuple[Path, ...]
    descriptors: tuple[Path, ...]
    secrets: tuple[str, ...]
    grace: float
    externals: Mapping[str, Address]
    files: frozenset[Path]
    remarks: tuple[str, ...]
    origin: str | None

    def __init__(
        self,
        name: str,
        *services: Service,
        folder: Path | None = None,
        source: Path | None = None,
        protos: Sequence[Path] = (),
        descriptors: Sequence[Path] = (),
        secrets: Sequence[str] = (),
        grace: float = GRACE_SECONDS,
        externals: Mapping[str, Address] | None = None,
        files: Iterable[Path] = (),
        remarks: Sequence[str] = (),
        origin: str | None = None,
    ) -> None:
        for key, value in (
            ("name", name),
            ("services", services),
            ("folder", folder or Path.cwd()),
            ("source", source),
            ("protos", tuple(protos)),
            ("descriptors", tuple(descriptors)),
            ("secrets", tuple(secrets)),
            ("grace", grace),
            ("externals", dict(externals or {})),
            ("files", frozenset(files)),
            ("remarks", tuple(remarks)),
            ("origin", origin),
        ):
            object.__setattr__(self, key, value)

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services)

    def __getitem__(self, name: str) -> Service:
        """Return the service of that name; raises KeyError if there is none."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def needs(self, service: Service) -> tuple[str, ...]:
        """Return the services that start before it: `depends_on`, and those that it mounts without a declared contract.

        A contract that is not declared is known once the code of its service has been loaded.
        """
        grpc = {each.name: each.grpc for each in self if each.name != service.name}
        mounted = [
            name
            for name in (service.http.contracts if service.http else ())
            if (found := grpc.get(name)) is not None and not found.services
        ]
        return tuple(dict.fromkeys((*service.depends_on, *mounted)))

    def listener_names(self) -> list[str]:
        """Return `service.kind` of every listener, in declared order."""
        return [f"{service.name}.{listener.kind}" for service in self for listener in service.listeners]

    def with_services(self, services: Sequence[Service], **changed: Any) -> Topology:
        """Return the same topology with other services, and with these fields changed."""
        kept = {name: value for name, value in vars(self).items() if name not in ("name", "services")}
        return Topology(self.name, *services, **{**kept, **changed})


def without_listener(service: Service, kind: Kind) -> Service:
    """Return the service with one listener left out; the others still have the code behind it."""
    match kind:
        case "http":
            return replace(service, http=None)
        case "grpc":
            return replace(service, grpc=None)
    return replace(service, tcp=None)
