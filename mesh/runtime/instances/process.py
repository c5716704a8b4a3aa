"""A Python service in its own process, hosted there by the same code as in this one."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from mesh.errors import UsageError
from mesh.observing.events import entry_of
from mesh.observing.journal import Change, Hold, Line
from mesh.observing.span import Span
from mesh.runtime.diagnostics.crash import CRASH_PREFIX, describe_crash
from mesh.runtime.instances.command import LOOK, CommandInstance
from mesh.runtime.instances.fresh_process import FRESH_PROCESS
from mesh.runtime.launching.forked_process import ChildProcess
from mesh.runtime.launching.zygote import Zygote
from mesh.runtime.messages import Failed, Message, Ready, ReloadFailed, ServiceCommand
from mesh.runtime.status import STALE_PREFIX
from mesh.service import ServiceContext
from mesh.topology.directory import Directory
from mesh.topology.model import Address, Kind, Service, Tcp, Topology

#: Connections that may wait while there is no process; uvicorn's default.
BACKLOG = 2048
#: The state of a process that has called `os._exit` or the like.
ENDING = "ending"
#: Lines that are kept of what a process writes when it crashes.
MAX_DUMP_LINES = 2000


class Assignment(Struct, frozen=True):
    """The input of such a process, on its standard input: the topology with the actual ports, and its own part."""

    declared: Topology
    service: str
    kinds: tuple[Kind, ...]
    host: str
    data: Path | None
    grace: float
    watch: bool = False
    #: By port, the descriptors of the HTTP sockets.
    held: Mapping[int, int] = field(default_factory=dict)


class ProcessInstance(CommandInstance):
    """An instance whose process writes journal entries as JSON events; its other output is the service's.

    It reloads changed files itself and keeps its ports, like an instance in this process. Its HTTP sockets are bound
    and held here: while one process replaces another, callers wait instead of being refused. gRPC accepts no socket
    that was bound elsewhere.
    """

    #: Of an event, whose texts the sender cuts.
    longest = 1024 * 1024
    watches_itself = True
    more_seconds = 0.75

    def __init__(
        self,
        service: Service,
        context: ServiceContext,
        declared: Topology,
        post: Callable[[Message], None],
        grace: float,
        zygote: Zygote,
        watch: bool = False,
    ) -> None:
        super().__init__(service, context, declared, post, grace)
        self._zygote = zygote
        self._watch = watch
        # What a program in `run` encrypts, its process alone knows.
        tls = {each.kind for each in service.listeners if not isinstance(each, Tcp) and each.tls is not None}
        self._may_encrypt = {each.kind for each in service.listeners if service.run or each.kind in tls}
        #: Set once the process has reported the outcome of its start.
        self._settled = threading.Event()
        self._failed = False
        #: True if the process has been told to end, by this one or by anyone else.
        self._ending = False
        #: What it said before it ended itself, and what faulthandler wrote of its crash.
        self._said_last = ""
        self._dump: list[str] = []
        self._held: dict[int, socket.socket] = {}

    def _keep(self, kind: Kind, bound: socket.socket) -> None:
        if kind == "http":
            self._held[bound.getsockname()[1]] = bound
        else:
            super()._keep(kind, bound)

    @property
    def encrypted(self) -> frozenset[Kind]:
        return frozenset(self._may_encrypt & self._addresses.keys())

    def release(self) -> None:
        """Release the HTTP ports."""
        for bound in self._held.values():
            bound.close()

    def _called(self) -> str:
        return "its process"

    def _begin(self) -> ChildProcess:
        self._settled.clear()
        self._failed = self._ending = False
        self._said_last, self._dump = "", []
        assignment = self._assignment().hex()
        for bound in self._held.values():
            bound.listen(BACKLOG)
        held = [bound.fileno() for bound in self._held.values()]
        process = self._zygote.start(self.context.root, self._environment(), held)
        assert process.stdin is not None
        # In hexadecimal, on one line: the stream stays open, and its end tells the child that this process is gone.
        process.stdin.write(f"{assignment}\n")
        process.stdin.flush()
        return process

    def _assignment(self) -> bytes:
        here = {(self.service.name, kind): each[0] for kind, each in self._addresses.items()}
        declared = with_addresses(self._declared, self.context.directory, self._addresses, self.service.name)
        host = next((address.host for address in here.values()), "127.0.0.1")
        held = {port: bound.fileno() for port, bound in self._held.items()}
        try:
            return pickle.dumps(
                Assignment(
                    declared,
                    self.service.name,
                    tuple(self._addresses),
                    host,
                    self.context.data,
                    self._grace,
                    self._watch,
                    held,
                )
            )
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UsageError(
                f'{self.service.name}: isolation = "process" needs code named as "module:attribute": {error}'
            ) from error

    def _take(self, line: str, stream: str) -> None:
        entry = entry_of(line) if stream == "stdout" else None
        if isinstance(entry, Span):
            # The child does not know the calls being answered here.
            is_root = entry.parent_id is None or not self.context.journal.is_open(entry.parent_id)
            self.context.journal.append(replace(entry, is_root=is_root))
        elif isinstance(entry, Line | Hold):
            self.context.journal.append(entry)
        elif isinstance(entry, Change):
            if entry.service == self.service.name:
                self._learn(entry)
            elif entry.state == "stopping":
                self._ending = True
        else:
            if (
                stream == "stderr"
                and (self._dump or line.startswith(CRASH_PREFIX))
                and len(self._dump) < MAX_DUMP_LINES
            ):
                self._dump.append(line)
            super()._take(line, stream)

    def _last_words(self) -> str:
        crash = describe_crash("\n".join(self._dump))
        words = self._said_last or (crash.sentence if crash is not None else "")
        return f": {words}" if words else ""

    def _learn(self, change: Change) -> None:
        """Pass on the news of the service in its process."""
        name, reason = change.service, change.reason or ""
        if change.state == ENDING:
            self._said_last = reason
        elif change.state == "failed":
            self._failed = True
            self._post(Failed(name, reason))
        elif change.state == "ready" and FRESH_PROCESS in reason:
            self.reload("in a fresh process, which its code needs")
        elif change.state == "ready" and reason:
            self._post(ReloadFailed(name, reason.removeprefix(STALE_PREFIX)))
        elif change.state == "ready" and self._settled.is_set():
            self._failed = False
            self._post(Ready(name, 0.0))
        elif change.state == "stopping" and not self._ending:
            self._post(ServiceCommand(name, "stop"))  # It has sent itself a stop signal.
        if change.state in ("failed", "ready"):
            self._settled.set()

    def _wait_until_ready(self, process: ChildProcess) -> bool:
        while not self._settled.wait(LOOK):
            if process.poll() is not None:
                return False
        return not self._failed


def with_addresses(declared: Topology, directory: Directory, own: dict[Kind, list[Address]], name: str) -> Topology:
    """Return the topology with the actual port of every listener; the declared address becomes an alias."""
    return declared.with_services(
        [_with_addresses(each, directory, own if each.name == name else {}) for each in declared]
    )


def _with_addresses(service: Service, directory: Directory, own: dict[Kind, list[Address]]) -> Service:
    http, grpc = service.http, service.grpc
    if http:
        ports = tuple(address.port for address in own.get("http", directory.all_of(service.name, "http")))
        known = tuple(f"{service.name}:{port}" for port in http.ports if port)
        http = replace(http, ports=ports, aliases=(*http.aliases, *known))
    if grpc:
        port = own.get("grpc", [directory.address(service.name, "grpc")])[0].port
        known = (f"{service.name}:{grpc.port}",) if grpc.port else ()
        grpc = replace(grpc, port=port, aliases=(*grpc.aliases, *known))
    return replace(service, http=http, grpc=grpc, isolation="thread")
