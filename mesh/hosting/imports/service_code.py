"""One service's code at one generation: loaded by reference, known by its files, closed as a whole."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from mesh.hosting.imports.carrying.carried_modules import Choice
from mesh.hosting.imports.scope.import_scope import ImportScope
from mesh.hosting.imports.scope.private_packages import PRIVATE, NeedsPrivate
from mesh.hosting.imports.scope.project_sources import ProjectSources
from mesh.hosting.imports.sites.site import Site, python_attributes
from mesh.hosting.imports.source_loader import ServiceLoader
from mesh.hosting.load_errors import ServiceImportError, translate_errors
from mesh.hosting.mains.program import execute
from mesh.hosting.process_state.descriptor_pools import DescriptorPool, RestartLoad
from mesh.python_command import PythonCommand
from mesh.references import Reference
from mesh.service import ServiceContext
from mesh.suggestions import did_you_mean
from mesh.virtualenv import Virtualenv

#: At each change all files are asked for: the paths are made, and hashed, once.
_path = lru_cache(maxsize=10_000)(Path)


class ServiceCode:
    """One service's code, loaded once.

    service: as this generation sees itself; while it is the current one, so are its modules.
    roots: folders searched in order, the service's own first; then shared libraries of the project and generated
        stubs. With none, the service is an installed package and a load is a plain import.
    pool: of its generated code; `Isolation.add_service` gives the one that knows the other services.
    private: installed packages that are executed for this service alone.
    sources: of the project, if installed packages among them are to be reloaded.
    virtualenv: that of the service; None if it has mesh's packages.
    """

    def __init__(
        self,
        service: ServiceContext,
        roots: Sequence[Path],
        pool: DescriptorPool | None = None,
        private: Iterable[str] = PRIVATE,
        sources: ProjectSources | None = None,
        virtualenv: Virtualenv | None = None,
    ) -> None:
        self.service_name = service.name
        site = None if virtualenv is None else Site.of(virtualenv)
        self.scope = service.import_scope = ImportScope(service.name, roots, private, sources, site)
        if virtualenv is not None:
            # The site may be that of another environment with the same packages.
            self.scope.sys_attributes |= python_attributes(virtualenv)
        self.roots = self.scope.roots
        self._pool = pool or DescriptorPool(service.name, set())
        self._is_loaded = False
        #: The modules that references have named.
        self._declared: set[str] = set()
        self.scope.open()
        self._pool.open(self.scope)

    def load(self, reference: str) -> Any:
        """The object that `module:attribute`, `module:factory()` or `path/to/file.py:attribute` names.

        Call it in the service's thread and context. Raises ServiceImportError for whatever goes wrong in the service's
        code, UsageError for another form of reference.
        """
        return self.load_all([reference])[0]

    def load_all(self, references: Sequence[str]) -> list[Any]:
        """The same for all that a service declares, at once: where its protos clash with another's the modules are
        loaded a second time, which only the first call can do.
        """
        self._pool.may_restart_load = not self._is_loaded
        self.scope.is_loading = True
        try:
            return self._load_until_it_fits(references)
        finally:
            self._pool.may_restart_load = False
            self.scope.is_loading = False
            self._is_loaded = True

    def run_main(self, command: PythonCommand) -> None:
        """Run the service's program as its `__main__`, in the calling thread, to its end.

        Where its protos clash with another service's, it begins a second time, unless `main_loaded` came before.
        """
        self._pool.may_restart_load = self.scope.is_loading = True
        try:
            while True:
                try:
                    execute(command, self.scope)
                    return
                except RestartLoad:
                    self.scope.purge_modules()
                    self._pool.use_private_pool()
                except BaseException:
                    # A server may make anything of a NeedsPrivate in its start-up, such as an exit.
                    if not self.scope.needs_private:
                        raise
                    self.scope.needs_private = False
                    self.scope.purge_modules()
                    self.scope.hide_shared()
        finally:
            self.main_loaded()

    def main_loaded(self) -> None:
        """Note that the program serves: from now on its code is not loaded a second time."""
        self._pool.may_restart_load = self.scope.is_loading = self.scope.needs_private = False
        self._is_loaded = True

    def files(self) -> frozenset[Path]:
        """Every source file loaded from the roots so far, one that failed included."""
        return frozenset(map(_path, list(self.scope.files.values())))

    def own_module(self, name: str) -> ModuleType | None:
        """Return that module of the service's virtual environment; None if it shares mesh's, or has not imported it."""
        return None if self.scope.site is None else self.scope.site.loaded(name)

    def carry(self, earlier: ServiceCode, choose: Callable[[Choice], set[str]]) -> set[str]:
        """Take over what an earlier generation has executed and this one need not execute again; before the load.

        choose: completes the choice, and returns the names of the modules that are executed. Returns those of the
        modules that are not.
        """
        if self._pool.is_private or earlier._pool.is_private or not earlier.scope.can_be_carried(self.scope):
            return set()
        choice = Choice(
            declared=earlier._declared,
            appeared=self.scope.appeared(earlier.scope),
            packages=earlier.scope.installed_packages(),
        )
        names = earlier.scope.records.modules.keys() - choose(choice)
        self.scope.carry(earlier.scope, names)
        self._pool.carry(earlier._pool)
        return names

    def executed(self) -> tuple[int, int]:
        """Return how many modules were executed for this generation so far, and how many it has."""
        records = self.scope.records
        return len(records.modules) - len(records.carried), len(records.modules)

    def close(self) -> None:
        """Forget the modules; objects still in use live on, but import nothing more of the service."""
        self.scope.close()
        self._pool.close()

    def _load_until_it_fits(self, references: Sequence[str]) -> list[Any]:
        while True:
            try:
                return [self._load(reference) for reference in references]
            except RestartLoad:
                if self.scope.records.carried:
                    raise  # The caller loads everything, into another generation.
                self.scope.purge_modules()
                self._pool.use_private_pool()
            except NeedsPrivate:
                if self.scope.records.carried:
                    raise
                self.scope.purge_modules()
                self.scope.hide_shared()
            except ServiceImportError as error:
                # Code that its author starts by `python -m folder.app`, beside the folder.
                if self._is_loaded or self.scope.package or not _needs_a_package(error.__cause__):
                    raise
                self.scope.purge_modules()
                self.scope.enter_package()

    def _load(self, reference: str) -> Any:
        wanted = Reference.parse(reference)
        with translate_errors(self.service_name, self.roots, "at import"):
            module = self._module(wanted)
        self._declared.add(module.__name__)
        found: Any = module
        for name in wanted.attribute.split("."):
            if not hasattr(found, name):
                raise self._no_attribute(module, found, name)
            found = getattr(found, name)
        if not wanted.call:
            return found
        with translate_errors(self.service_name, self.roots, f"in {wanted.attribute}()"):
            return found()

    def _module(self, wanted: Reference) -> ModuleType:
        if wanted.module.endswith(".py"):
            return self._module_of_file(Path(wanted.module))
        name = f"{self.scope.package}.{wanted.module}" if self.scope.package else wanted.module
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # The reference itself, and not an import somewhere in the service's code.
            if error.name is not None and f"{name}.".startswith(f"{error.name}."):
                raise self._no_module(wanted.module) from None
            raise

    def _module_of_file(self, file: Path) -> ModuleType:
        base = self.roots[0] if self.roots else Path.cwd()
        path = Path(os.path.abspath(base / file))
        if not path.is_file():
            raise ServiceImportError(f"{self.service_name}: no such file: {path}", file=path)
        for root in self.roots if not self.scope.package else (self.roots[0].parent,):
            parts = path.relative_to(root).with_suffix("").parts if path.is_relative_to(root) else (".",)
            name = ".".join(parts)
            if not any("." in part for part in parts) and self.scope.owns(name):
                return importlib.import_module(name)
        return self._module_outside(path)

    def _module_outside(self, path: Path) -> ModuleType:
        """A file whose place is no importable name."""
        name = re.sub(r"[^0-9A-Za-z_]", "_", path.stem)
        key = self.scope.key(name)
        if key not in sys.modules:
            loader = ServiceLoader(name, str(path), self.scope)
            spec = spec_from_file_location(name, path, loader=loader)
            assert spec is not None
            module = sys.modules[key] = module_from_spec(spec)
            try:
                loader.exec_module(module)
            except BaseException:
                sys.modules.pop(key, None)
                raise
        return sys.modules[key]

    def _no_module(self, name: str) -> ServiceImportError:
        known = [found.name for found in pkgutil.iter_modules([str(root) for root in self.roots])]
        where = f" in {', '.join(map(str, self.roots))}" if self.roots else ""
        return ServiceImportError(f"{self.service_name}: no module is named {name!r}{where}{did_you_mean(name, known)}")

    def _no_attribute(self, module: ModuleType, found: Any, name: str) -> ServiceImportError:
        holder = getattr(found, "__name__", type(found).__name__)
        file = getattr(module, "__file__", None)
        return ServiceImportError(
            f"{self.service_name}: {holder} ({file}) has no {name!r}{did_you_mean(name, dir(found))}",
            file=Path(file) if file else None,
        )


def _needs_a_package(error: BaseException | None) -> bool:
    return isinstance(error, ImportError) and str(error).startswith("attempted relative import")
