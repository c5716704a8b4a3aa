"""A service run by a command in its own process, with ports, readiness, output and stop like any service."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mesh.contract import Handlers
from mesh.errors import MeshError
from mesh.hosting.process_state.output import LINE_LIMIT
from mesh.observing.journal import Line
from mesh.runtime.instances.command_environment import command_environment, starts_python
from mesh.runtime.instances.port_owner import listening_ports
from mesh.runtime.instances.readiness import Readiness, ReadyLine
from mesh.runtime.instances.relays import Relays
from mesh.runtime.launching import process_group
from mesh.runtime.launching.forked_process import ChildProcess
from mesh.runtime.messages import Done, Ended, Message, Ready, Reloaded
from mesh.service import ServiceContext
from mesh.serving.server_sockets import bind
from mesh.topology.model import Address, Grpc, Http, Kind, Service, Tcp, Topology
from mesh.topology.selection import moved_ports

#: Seconds between two checks whether a child is ready.
LOOK = 0.05


class CommandInstance:
    """An instance whose thread watches a process.

    `bind()` only checks the ports: the process binds them itself. Its own ports, and the addresses of the other
    services, are in environment variables: `PORT`, `MESH_<SERVICE>_HTTP` and `_GRPC`.
    """

    #: Characters read of a line.
    longest = LINE_LIMIT
    #: True if the process watches its own files.
    watches_itself = False
    #: False for a process behind a proxy that accepts connections for it before it does.
    _answers_at_once = True
    #: Seconds for all ports to answer once one of them does; None if it is not ready before they do.
    _others_within: float | None = None
    #: After the grace, for a process that cuts its calls itself.
    more_seconds = 0.0

    def __init__(
        self,
        service: Service,
        context: ServiceContext,
        declared: Topology,
        post: Callable[[Message], None],
        grace: float,
    ) -> None:
        self.service = service
        self.context = context
        self.handlers: Handlers | None = None
        self._declared = declared
        self._post = post
        self._addresses: dict[Kind, list[Address]] = {}
        self._process: ChildProcess | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._again: str | None = None
        #: False after a failure that another start would meet as well.
        self._may_go_better = True
        #: The line for which `ready` waits, if it does.
        self._ready_line: ReadyLine | None = None
        self._relays = Relays(())
        #: Seconds for the process to end in its own way.
        self._grace = grace

    def bind(self, kind: Kind, address: Address) -> None:
        """Return the port after checking that it is free; raises OSError if it is not."""
        bound = bind(address)
        self._addresses.setdefault(kind, []).append(Address(address.host, bound.getsockname()[1]))
        self._keep(kind, bound)

    def _keep(self, kind: Kind, bound: socket.socket) -> None:
        """Release a port that was free; the process binds it itself."""
        bound.close()

    @property
    def encrypted(self) -> frozenset[Kind]:
        """What a command encrypts, mesh does not know."""
        return frozenset()

    def release(self) -> None:
        """Do nothing: no port is held."""

    def addresses(self, host: str) -> dict[Kind, tuple[Address, ...]]:
        """Return where the process will listen."""
        return {kind: tuple(Address(host, each.port) for each in found) for kind, found in self._addresses.items()}

    def is_current(self) -> bool:
        """Return whether there is a process: it has the newest code, or reloads by itself."""
        return self._process is not None

    def current_stack(self) -> str:
        """Return what the process has not done yet."""
        if self._process is None or self._process.poll() is not None:
            return ""
        if self._ready_line is not None and not self._ready_line.answers():
            where = f"has printed no line with {self.service.ready_line!r} yet"
            return f"{self._called()} runs as pid {self._process.pid}, and {where}"
        silent = [each.name for each in self._listening() if not each.answers()]
        where = f", without an answer on {' and '.join(silent)} yet{self._others(self._process.pid)}" if silent else ""
        return f"{self._called()} runs as pid {self._process.pid}{where}"

    def _others(self, pid: int) -> str:
        """Return which ports the process listens on instead of those that are declared."""
        declared = {address.port for each in self._addresses.values() for address in each}
        if not (others := sorted(listening_ports(pid) - declared)):
            return ""
        ports = " and ".join(map(str, others))
        return f"; it listens on {ports}: declare that, or make the command listen on the one in its variable PORT"

    def loop_and_thread(self) -> None:
        """Return None: a child process exposes no event loop."""

    def files(self) -> frozenset[Path]:
        """Return no files: mesh does not know what a command reads."""
        return frozenset()

    def start(self) -> None:
        """Start the process; Ready or Ended follows on the queue."""
        self._thread = threading.Thread(target=self._run, name=self.service.name, daemon=True)
        self._thread.start()

    def reload(self, why: str, executes_all: bool = True) -> None:
        """End the process and start another; Reloaded follows on the queue."""
        self._again = why
        self._terminate()

    def stop(self, grace: float) -> None:
        """Ask the process to end, and kill it after `grace` seconds; Ended follows on the queue."""
        self._stopping = True
        self._grace = grace
        self._terminate()

    def reset(self) -> None:
        """Do nothing: the content of another process cannot be reset."""

    def _run(self) -> None:
        why: str | None = ""
        reason: str | None = None
        began = 0.0
        while why is not None and not self._stopping:
            began = time.perf_counter()
            reason = self._live(why)
            why, self._again = self._again, None
        self.release()
        if reason is None and not self._stopping:
            self._post(Done(self.service.name, (time.perf_counter() - began) * 1000))
        else:
            reason = None if self._stopping else reason
            self._post(Ended(self.service.name, reason, again=self._may_go_better))

    def _live(self, why: str) -> str | None:
        """Run one process to its end; return how it ended, or None if its work is done."""
        started = time.perf_counter()
        pattern = self.service.ready_line
        self._ready_line = None if pattern is None else ReadyLine(pattern)
        if not why:
            self._tell_of_moved_ports()
        try:
            process = self._process = self._begin()
        except (OSError, MeshError) as error:
            self._may_go_better = isinstance(error, OSError)
            return f"{self._called()} cannot be started: {error}"
        if self._stopping:
            self._terminate()  # The request came before there was a process.
        readers = [self._read(process, name) for name in ("stdout", "stderr")]
        self._relays = Relays(self._published())
        if self._wait_until_ready(process):
            took = (time.perf_counter() - started) * 1000
            self._post(Reloaded(self.service.name, why, took, "restarted") if why else Ready(self.service.name, took))
        status = process.wait()
        self._relays.close()
        process_group.clear(process)
        for reader in readers:
            reader.join()
        if status == 0 and not self._addresses:
            return None  # What listens is not done when it ends.
        return f"{self._called()} {process_group.describe_exit(status)}{self._last_words()}"

    def _tell_of_moved_ports(self) -> None:
        """Tell that the declared ports, in the code of another language, are not those of this mesh."""
        moved = sorted(moved_ports(self._declared))
        if (
            self.service.command is not None
            and moved
            and not starts_python(self.service.command, self._environment()["PATH"])
        ):
            text = (
                f"ports are moved, and where its code names one itself, localhost:{moved[0]} for example, it does not "
                "reach this mesh; the variables MESH_NAME_HTTP and MESH_NAME_GRPC have the addresses"
            )
            self._tell(text)

    def _last_words(self) -> str:
        """Return what is known of why the process ended; what a command prints speaks for itself."""
        return ""

    @property
    def _stop_signal(self) -> signal.Signals:
        """Return what asks the process to end."""
        return signal.SIGTERM

    def _called(self) -> str:
        return f"`{self.service.command}`"

    def _begin(self) -> ChildProcess:
        return process_group.start(self.service.command or "", self.context.root, self._environment())

    def _environment(self) -> dict[str, str]:
        moved = {port: address.port for address, port in self._published()}
        return command_environment(self.service, self._declared, self.context.directory, self._addresses, moved)

    def _read(self, process: ChildProcess, name: str) -> threading.Thread:
        """Read the lines of one stream, in a separate thread."""

        def read() -> None:
            with getattr(process, name) as stream:
                # A CR does not end a line: a client could send it to forge another line of the log.
                stream.reconfigure(newline="\n")
                is_rest = False
                # In bounded pieces: a line that does not end must not fill the memory.
                while line := stream.readline(self.longest):
                    if not is_rest:
                        self._take(line.rstrip("\n"), name)
                    is_rest = not line.endswith("\n")

        reader = threading.Thread(target=read, name=f"{self.service.name}.{name}", daemon=True)
        reader.start()
        return reader

    def _take(self, line: str, stream: str) -> None:
        self.context.journal.append(Line(self.service.name, line[:LINE_LIMIT], stream))
        if self._ready_line is not None:
            self._ready_line.note(line)

    def _listening(self) -> list[Readiness]:
        path = None if self.service.ready == "port" else self.service.ready
        return [
            Readiness(kind, address, path if kind == "http" else None, self._answers_at_once)
            for kind, each in self._addresses.items()
            for address in each
        ]

    def _published(self) -> list[tuple[Address, int]]:
        """Return where each listener is published for which an alias has another port, that of its container."""
        found: list[tuple[Address, int]] = []
        for listener in self.service.listeners:
            found += zip(self._addresses.get(listener.kind, []), self._container_ports(listener), strict=False)
        return [(address, port) for address, port in found if port != address.port]

    def _container_ports(self, listener: Http | Grpc | Tcp) -> list[int]:
        """Return the ports that the listener has in its container, which the service's own name has in an alias."""
        return [each.port for each in map(Address.parse, listener.aliases) if each.host == self.service.name]

    def _wait_until_ready(self, process: ChildProcess) -> bool:
        """Return True if the process answers before it ends."""
        if self.service.ready == "done":
            return False
        if self._ready_line is not None:
            while not (was_said := self._ready_line.wait(LOOK)) and process.poll() is None:
                pass
            return was_said
        with contextlib.ExitStack() as closing:
            listening = self._listening()
            for each in listening:
                closing.callback(each.close)
            since: float | None = None
            while process.poll() is None:
                silent = [each.name for each in listening if not each.answers()]
                if not silent:
                    return True
                if len(silent) < len(listening):
                    since = since or time.monotonic()
                    if self._others_within is not None and time.monotonic() - since > self._others_within:
                        self._tell(f"nothing answers on {' and '.join(silent)}")
                        return True
                for sentence in self._relays.look(process.pid):
                    self._tell(sentence)
                time.sleep(LOOK)
        return False

    def _tell(self, text: str) -> None:
        self.context.journal.append(Line(self.service.name, text, "mesh"))

    def _terminate(self) -> None:
        """Ask the process and its group to end; kill what is left after the grace period."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process_group.send(process, self._stop_signal)
        killer = threading.Timer(self._grace + self.more_seconds, self._kill, (process,))
        killer.daemon = True
        killer.start()

    def _kill(self, process: ChildProcess) -> None:
        if process.poll() is None:
            process_group.send(process, signal.SIGKILL)
