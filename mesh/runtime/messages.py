"""The messages on the supervisor's queue, and the frozen snapshot that its loop publishes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

from mesh.topology.model import Address, Kind

State = Literal["waiting", "starting", "ready", "failed", "done", "stopping", "stopped"]
Phase = Literal["bound", "starting", "running", "stopping", "stopped"]


class Ready(Struct, frozen=True):
    """An instance serves on all of its listeners. milliseconds: what its code took to load and start."""

    service: str
    milliseconds: float


class Failed(Struct, frozen=True):
    """An instance could not start, or ended unexpectedly.

    reason: one line. traceback: the service's own. again: whether a retry without a change of the code may help.
    """

    service: str
    reason: str
    traceback: str = ""
    again: bool = False


class Reloaded(Struct, frozen=True):
    """A new generation serves instead of the old one. why: what changed. how: in a word.

    executed, modules: how many of the service's own modules were executed for it, and how many it has; 0 if all were to
        be executed, or it is not known.
    """

    service: str
    why: str
    milliseconds: float
    how: str = "live"
    executed: int = 0
    modules: int = 0


class ReloadFailed(Struct, frozen=True):
    """A new generation could not start; the old one keeps serving."""

    service: str
    reason: str
    traceback: str = ""


class Ended(Struct, frozen=True):
    """An instance has closed its listeners, and its thread or process is gone.

    reason: why, if not requested. again: True if another start may go better.
    """

    service: str
    reason: str | None = None
    traceback: str = ""
    again: bool = True


class Done(Struct, frozen=True):
    """A command has ended with status 0, as a migration does; nothing of it runs any more."""

    service: str
    milliseconds: float


class Changed(Struct, frozen=True):
    """Files that were written, created or deleted."""

    files: frozenset[Path]


class ServiceCommand(Struct, frozen=True):
    """A request to start, stop or restart one service."""

    service: str
    what: Literal["start", "stop", "restart"]


class Stop(Struct, frozen=True):
    """A request to end: a signal, `mesh down`, a test. `exit_status` is that of the process."""

    why: str
    exit_status: int


Message = Ready | Failed | Reloaded | ReloadFailed | Ended | Done | Changed | ServiceCommand | Stop


class ServiceState(Struct, frozen=True):
    """One service at one moment.

    http: every address of its HTTP listener. tcp: those of other protocols. tls: the listeners that encrypt. reason:
    what is wrong with it; for a service that is ready, why its newest code is not serving. generation: counts its
    starts and reloads.
    """

    name: str
    state: State = "waiting"
    http: tuple[Address, ...] = ()
    grpc: Address | None = None
    tcp: tuple[Address, ...] = ()
    tls: frozenset[Kind] = frozenset()
    reason: str | None = None
    generation: int = 0

    @property
    def urls(self) -> list[str]:
        """Return the URL of each port of its HTTP listener."""
        scheme = "https" if "http" in self.tls else "http"
        return [f"{scheme}://{address}" for address in self.http]

    @property
    def places(self) -> list[str]:
        """Return its other addresses, each after its protocol."""
        grpc = "grpcs" if "grpc" in self.tls else "grpc"
        return [*([f"{grpc} {self.grpc}"] if self.grpc else []), *(f"tcp {address}" for address in self.tcp)]


class Snapshot(Struct, frozen=True):
    """The whole topology at one moment."""

    topology: str
    phase: Phase
    services: tuple[ServiceState, ...] = ()

    def __getitem__(self, name: str) -> ServiceState:
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def in_state(self, *states: State) -> set[str]:
        """Return the names of the services in one of these states."""
        return {service.name for service in self.services if service.state in states}
