"""A service's view of its surroundings, and the variable that holds the current service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mesh.errors import MeshError
from mesh.observing.exchanges import Exchanges
from mesh.observing.journal import Journal
from mesh.topology.directory import Directory


class Hook(Struct, frozen=True, eq=False):
    """A function that a service wants called. module: the one of its modules that it belongs to; empty for none."""

    function: Callable[[], object]
    module: str = ""

    def __call__(self) -> object:
        return self.function()


class ServiceContext(Struct, eq=False):
    """One running service, as its own code sees it.

    directory: addresses of the other services.
    data: the folder for the service's databases; None if they live in memory.
    journal: where its events are recorded.
    connections: the channels and HTTP connections of its calls; they survive reloads.
    exchanges: where its last safe request is kept, or None.
    state: any objects the service stores; it survives reloads.
    generation: counts the starts and reloads of its code.
    main: what runs the program in `run` (mesh.serving.mains); None for a service without one.
    import_scope: the modules that its code sees (mesh.hosting.imports); None for the process's own.
    """

    name: str
    root: Path
    data: Path | None = None
    directory: Directory = field(default_factory=Directory)
    journal: Journal = field(default_factory=Journal)
    connections: object | None = None
    exchanges: Exchanges | None = None
    state: dict[str, Any] = field(default_factory=dict)
    stop_hooks: list[Hook] = field(default_factory=list)
    reset_hooks: list[Hook] = field(default_factory=list)
    generation: int = 0
    main: Any = None
    import_scope: Any = None

    def on_stop(self, hook: Callable[[], object]) -> None:
        """Call `hook` once when the service stops, the last one given first."""
        self.stop_hooks.append(self._hook(hook))

    def on_reset(self, hook: Callable[[], object]) -> None:
        """Call `hook` when the service's content is to be as it was at the start: before each test."""
        self.reset_hooks.append(self._hook(hook))

    def note_set_up(self) -> None:
        """Record that the running code changed something that is set up for each generation."""
        if self.import_scope is not None:
            self.import_scope.note_set_up()

    def _hook(self, function: Callable[[], object]) -> Hook:
        return Hook(function, "" if self.import_scope is None else self.import_scope.acting_module())


current_service_var: ContextVar[ServiceContext | None] = ContextVar("current_service_var", default=None)


@contextmanager
def outside_services() -> Iterator[None]:
    """Run the block as mesh's own code, not as that of the current service."""
    token = current_service_var.set(None)
    try:
        yield
    finally:
        current_service_var.reset(token)


def current_service() -> ServiceContext:
    """Return the service whose code is running; raises MeshError outside of one."""
    service = current_service_var.get()
    if service is None:
        raise MeshError("current_service() was called outside a service; run the code with `mesh up` or `Supervisor`")
    return service


class State(MutableMapping[str, Any]):
    """The dict of the current service: what it holds survives reloads, and nothing else does.

    Use `from mesh import state` once, at import or later; raises `MeshError` outside a service.
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
