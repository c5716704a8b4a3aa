"""Everything that is patched in the process while services run: installed once, by one object, and undone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from mesh.hosting.arrivals import Arrivals
from mesh.hosting.child_processes import ChildProcesses
from mesh.hosting.clients.clients import Clients
from mesh.hosting.descriptor_pools import DescriptorPools
from mesh.hosting.environ import Environ
from mesh.hosting.exits import Exits
from mesh.hosting.fork import Forks
from mesh.hosting.host_names import HostNames
from mesh.hosting.imports.private_packages import PRIVATE
from mesh.hosting.imports.project_sources import ProjectSources
from mesh.hosting.imports.service_code import ServiceCode
from mesh.hosting.interpreter_settings import InterpreterSettings
from mesh.hosting.logs import Logs
from mesh.hosting.loops import new_event_loop
from mesh.hosting.output import LineSink, Output
from mesh.hosting.patches import Patch
from mesh.hosting.prometheus import PrometheusRegistry
from mesh.hosting.proxies import past_proxies
from mesh.hosting.shared_modules import SharedModules
from mesh.hosting.signals import Signals
from mesh.hosting.threads import Threads
from mesh.service import ServiceContext


class Isolation:
    """Isolates the services of one process from each other.

    sink: takes every line a service prints, `(service_name, stream, text)`, in the thread that printed it; its own
        output must bypass `sys.stdout`.
    alone: True if there is only one service, which cannot affect others.
    redirect_process: see `HostNames`.
    stop: asks for the service of this name to be stopped.
    project: the folder whose edited files are reloaded; None if none are.
    """

    def __init__(
        self,
        sink: LineSink,
        alone: bool = False,
        redirect_process: bool = False,
        stop: Callable[[str], object] = lambda name: None,
        project: Path | None = None,
    ) -> None:
        self._sources = None if project is None else ProjectSources(project)
        self.arrivals = Arrivals()
        self.environ = Environ()
        self.forks = Forks(sink)
        self.output = Output(self.forks.tell)
        self.names = HostNames(self.arrivals, redirect_process)
        self._pools = DescriptorPools(self.arrivals)

        def notice(name: str, text: str) -> None:
            self.forks.tell(name, "mesh", text)

        self.signals = Signals(self.forks, notice, stop, alone)
        self._patches: Sequence[Patch] = (
            self.environ,
            Threads(self.arrivals),
            Logs(),
            self.output,
            self.names,
            Clients(self.arrivals, self.names),
            self.signals,
            Exits(self.arrivals, self.forks, alone),
            self.forks,
            ChildProcesses(self.arrivals, self.forks),
            self._pools,
            PrometheusRegistry(self.arrivals),
            *(() if alone else (InterpreterSettings(notice), SharedModules(notice))),
        )

    def install(self) -> None:
        self.arrivals.install()
        for patch in self._patches:
            patch.install()

    def uninstall(self) -> None:
        for patch in reversed(self._patches):
            patch.uninstall()
        self.arrivals.uninstall()

    def __enter__(self) -> Isolation:
        self.install()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.uninstall()

    def add_service(
        self,
        service: ServiceContext,
        env: Mapping[str, str],
        roots: Sequence[Path],
        private: Iterable[str] = (),
        shared: Iterable[str] = (),
    ) -> ServiceCode:
        """Prepare a generation before its code is loaded. Each has its own ServiceContext object.

        roots: as for ServiceCode; a PYTHONPATH in `env` comes after them.
        private, shared: packages beside the known ones that are executed for this service, and those that are not.
        """
        self.environ.give(service, {**past_proxies(os.environ, self.names.hosts()), **env})
        for patch in self._patches:
            patch.add_service(service)
        return ServiceCode(
            service,
            [*roots, *_python_path(env)],
            self._pools.of(service),
            {*PRIVATE, *private} - {*shared},
            self._sources,
        )

    def service_loaded(self, service: ServiceContext) -> None:
        """After the generation's code was loaded, or could not be."""
        for patch in self._patches:
            patch.service_loaded(service)

    def remove_service(self, service: ServiceContext, code: ServiceCode) -> None:
        """Clean up after a generation has drained and its hooks have run."""
        code.close()
        for patch in reversed(self._patches):
            patch.remove_service(service)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return a service's event loop, for `asyncio.Runner(loop_factory=isolation.new_event_loop)`."""
        return new_event_loop(self.names, self.signals)


def _python_path(env: Mapping[str, str]) -> list[Path]:
    return [Path(entry) for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
