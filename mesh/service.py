"""What a service can know of where it runs, and the variable that says which service is running."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.errors import MeshError
from mesh.observing.exchanges import Exchanges
from mesh.observing.journal import Journal
from mesh.topology.directory import Directory


@dataclass(slots=True)
class ServiceContext:
    """One running service, as its own code sees it.

    directory: where the other services are found.
    data: the folder for the service's databases; None when they are to live in memory.
    journal: where what happens to it is recorded.
    connections: the channels and HTTP connections its calls go over; they outlive reloads.
    exchanges: where its last safe request is kept; None where none is.
    state: whatever the service puts there; it outlives reloads.
    generation: counts the starts and reloads of its code.
    import_scope: which modules its code sees (mesh.hosting.imports); None for those that everybody sees.
    """

    name: str
    root: Path
    data: Path | None = None
    directory: Directory = field(default_factory=Directory)
    journal: Journal = field(default_factory=Journal)
    connections: object | None = None
    exchanges: Exchanges | None = None
    state: dict[str, Any] = field(default_factory=dict)
    stop_hooks: list[Callable[[], object]] = field(default_factory=list)
    reset_hooks: list[Callable[[], object]] = field(default_factory=list)
    generation: int = 0
    import_scope: Any = field(default=None, repr=False, compare=False)

    def on_stop(self, hook: Callable[[], object]) -> None:
        """Calls `hook` once when the service stops, the last one given first."""
        self.stop_hooks.append(hook)

    def on_reset(self, hook: Callable[[], object]) -> None:
        """Calls `hook` when the service's content is to be as it was at the start: before each test."""
        self.reset_hooks.append(hook)


current_service_var: ContextVar[ServiceContext | None] = ContextVar("current_service_var", default=None)


def current_service() -> ServiceContext:
    """The service whose code is running; MeshError outside of one."""
    service = current_service_var.get()
    if service is None:
        raise MeshError("current_service() was called outside a service; run the code with `mesh up` or `Supervisor`")
    return service


class State(MutableMapping[str, Any]):
    """The dict of the service that is running: what it puts there outlives its reloads, and nothing else does.

    `from mesh import state` once, at import or later; `MeshError` where it is used outside a service.
    """

    def __getitem__(self, key: str) -> Any:
        return current_service().state[key]

    def __setitem__(self, key: str, value: Any) -> None:
        current_service().state[key] = value

    def __delitem__(self, key: str) -> None:
        del current_service().state[key]

    def __iter__(self) -> Iterator[str]:
        return iter(current_service().state)

    def __len__(self) -> int:
        return len(current_service().state)


state = State()
