"""Installs everything that is patched in the process while services run, and undoes it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from mesh.hosting.clients.clients import Clients
from mesh.hosting.clients.host_names import HostNames
from mesh.hosting.clients.proxies import past_proxies
from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.imports.import_system import ImportSystem
from mesh.hosting.imports.scope.private_packages import private_packages
from mesh.hosting.imports.scope.project_sources import ProjectSources
from mesh.hosting.imports.scope.search_path import SearchPath
from mesh.hosting.imports.service_code import ServiceCode
from mesh.hosting.loops import new_event_loop
from mesh.hosting.mains.servers import Servers
from mesh.hosting.mains.waits import Waits
from mesh.hosting.patches import Patch
from mesh.hosting.process_state.descriptor_pools import DescriptorPools
from mesh.hosting.process_state.environ import Environ
from mesh.hosting.process_state.interpreter_settings import InterpreterSettings
from mesh.hosting.process_state.logs import Logs
from mesh.hosting.process_state.output import LineSink, Output
from mesh.hosting.process_state.prometheus import PrometheusRegistry
from mesh.hosting.process_state.pydantic import PydanticValidators
from mesh.hosting.process_state.set_once import SetOnce
from mesh.hosting.process_state.shared_modules import SharedModules
from mesh.hosting.processes.child_processes import ChildProcesses
from mesh.hosting.processes.exits import Exits
from mesh.hosting.processes.fork import Forks
from mesh.hosting.processes.one_processor import Affinity, OneProcessor
from mesh.hosting.processes.signals import Signals
from mesh.hosting.threads import Threads
from mesh.service import ServiceContext
from mesh.virtualenv import Virtualenv


class Isolation:
    """Isolates the services of one process from each other.

    sink: takes every line a service prints, `(service_name, stream, text)`, in the thread that printed it; its own
        output must bypass `sys.stdout`.
    alone: True if there is only one service, which cannot affect others.
    redirect_process: see `HostNames`.
    stop: asks for the service of this name to be stopped.
    project: the folder whose edited files are reloaded; None if none are.
    affinity: the processor to keep to; None for all.
    """

    def __init__(
        self,
        sink: LineSink,
        alone: bool = False,
        redirect_process: bool = False,
        stop: Callable[[str], object] = lambda name: None,
        project: Path | None = None,
        affinity: Affinity | None = None,
    ) -> None:
        self._sources = None if project is None else ProjectSources(project)
        self.import_hooks = ImportHooks()
        self.environ = Environ()
        self.forks = Forks(sink)
        self.output = Output(self.forks.tell)
        self.names = HostNames(self.import_hooks, redirect_process)
        self._pools = DescriptorPools(self.import_hooks)
        notice = self.forks.notice
        self.signals = Signals(self.forks, notice, stop, alone)
        self._shared_modules = SharedModules(notice)
        self._processor = OneProcessor(self.import_hooks, affinity, notice)
        self.mains = (waits := Waits(self.import_hooks, self.new_event_loop)).mains  # by the ident of their threads
        self._patches: Sequence[Patch] = (
            self.environ,
            Threads(self.import_hooks),
            Logs(),
            self.output,
            self.names,
            Clients(self.import_hooks, self.names),
            self.signals,
            Exits(self.import_hooks, self.forks, alone),
            self.forks,
            ChildProcesses(self.import_hooks, self.forks),
            self._pools,
            PrometheusRegistry(self.import_hooks),
            PydanticValidators(self.import_hooks),
            waits,
            Servers(self.import_hooks),
            self._processor,
            *(() if alone else (InterpreterSettings(notice), SetOnce(self.import_hooks, notice), self._shared_modules)),
        )

    def install(self) -> None:
        self.import_hooks.install()
        for patch in self._patches:
            patch.install()
        # Another mesh of this process may have loaded virtual environments already.
        system = ImportSystem.present()
        for module in system.site_modules() if system is not None else ():
            self.import_hooks.meet(module)

    def uninstall(self) -> None:
        for patch in reversed(self._patches):
            patch.uninstall()
        self.import_hooks.uninstall()

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
        virtualenv: Virtualenv | None = None,
    ) -> ServiceCode:
        """Prepare a generation before its code is loaded. Each has its own ServiceContext object.

        roots: as for ServiceCode; a PYTHONPATH in `env` comes after them.
        private, shared: packages beside the known ones that are executed for this service, and those that are not.
        virtualenv: whose packages it uses; None for mesh's.
        """
        self.environ.give(service, {**past_proxies(os.environ, self.names.hosts()), **env})
        for patch in self._patches:
            patch.add_service(service)
        return ServiceCode(
            service,
            [*roots, *_python_path(env)],
            self._pools.of(service),
            private_packages(
                private, shared, SearchPath.shared() if virtualenv is None else map(str, virtualenv.packages)
            ),
            self._sources,
            virtualenv,
        )

    def carry(self, earlier: ServiceContext, service: ServiceContext, modules: Collection[str]) -> None:
        """Between `add_service` and the load, give the service these modules of an earlier generation unchanged."""
        for patch in self._patches:
            patch.carry(earlier, service, modules)

    def service_loaded(self, service: ServiceContext) -> None:
        """Called after the generation's code was loaded, or could not be."""
        for patch in self._patches:
            patch.service_loaded(service)

    def remove_service(self, service: ServiceContext, code: ServiceCode) -> None:
        """Clean up after a generation has drained and its hooks have run."""
        code.close()
        for patch in reversed(self._patches):
            patch.remove_service(service)

    def look(self) -> None:
        """Look, once a second, at what services have replaced for all, and at what computes without the GIL."""
        if self._shared_modules in self._patches:
            self._shared_modules.look()
        self._processor.look()

    def new_event_loop(self, prefers_uvloop: bool = True) -> asyncio.AbstractEventLoop:
        """Return a service's event loop, for `asyncio.Runner(loop_factory=isolation.new_event_loop)`."""
        return new_event_loop(self.names, self.signals, prefers_uvloop)


def _python_path(env: Mapping[str, str]) -> list[Path]:
    return [Path(entry) for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
