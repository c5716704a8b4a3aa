"""One service's code at one generation: loaded by reference, known by its files, dropped as a whole."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mesh.hosting.loader import ServiceLoader, admit, dismiss, forget
from mesh.hosting.protos import Protos, StartAgain
from mesh.hosting.references import ServiceImportError, blamed
from mesh.hosting.world import World
from mesh.references import Reference
from mesh.suggestions import did_you_mean


class Generation:
    """One service's code, loaded once.

    roots: folders searched in order, the service's own first; then shared libraries of the project and generated
        stubs. With none, the service is an installed package and a load is a plain import.
    number: counts the service's generations.
    protos: the descriptor pool of its generated code; `Isolation.add_service` gives the one that knows the neighbours.
    """

    def __init__(self, service_name: str, roots: Sequence[Path], number: int, protos: Protos | None = None) -> None:
        self.service_name = service_name
        self.number = number
        self.protos = protos or Protos(service_name, set())
        self.world = World(service_name, roots, number, self.protos)
        self._loaded = False
        self.roots = self.world.roots
        self.prefix = self.world.prefix
        if self.roots:
            admit(self.world)

    def load(self, reference: str) -> Any:
        """The object that `module:attribute`, `module:factory()` or `path/to/file.py:attribute` names.

        Call it in the service's thread and context. Raises ServiceImportError for whatever goes wrong in the service's
        code, UsageError for another form of reference.
        """
        return self.load_all([reference])[0]

    def load_all(self, references: Sequence[str]) -> list[Any]:
        """The same for all that a service declares, at once: where its protos clash with a neighbour's the modules are
        loaded a second time, which only the first call can do.
        """
        self.protos.may_start_again = not self._loaded
        self.world.is_loading = True
        try:
            found = [self._load(reference) for reference in references]
        except StartAgain:
            forget(self.world)
            self.protos.go_private()
            found = [self._load(reference) for reference in references]
        finally:
            self.protos.may_start_again = False
            self.world.is_loading = False
        self._loaded = True
        return found

    def _load(self, reference: str) -> Any:
        wanted = Reference.parse(reference)
        with blamed(self.service_name, self.prefix, self.roots, "at import"):
            module = self._module(wanted)
        found: Any = module
        for name in wanted.attribute.split("."):
            if not hasattr(found, name):
                raise self._no_attribute(module, found, name)
            found = getattr(found, name)
        if not wanted.call:
            return found
        with blamed(self.service_name, self.prefix, self.roots, f"in {wanted.attribute}()"):
            return found()

    def files(self) -> frozenset[Path]:
        """Every source file loaded from the roots so far, one that failed included."""
        return frozenset(map(Path, list(self.world.paths.values())))

    def importers(self, file: Path) -> frozenset[Path]:
        """The service's files that import this one directly."""
        paths, importers = self.world.paths, self.world.importers
        who = {who for name, path in paths.items() if path == str(file) for who in importers.get(name, ())}
        return frozenset(Path(paths[name]) for name in who if name in paths)

    def drop(self) -> None:
        """Forgets the modules; objects still in use live on, but import nothing more of the service."""
        dismiss(self.world)
        forget(self.world)
        for name in [name for name, module in list(sys.modules.items()) if module is self.world.package]:
            sys.modules.pop(name, None)
        self.protos.drop()

    def _module(self, wanted: Reference) -> ModuleType:
        if wanted.module.endswith(".py"):
            return self._module_of_file(Path(wanted.module))
        name = wanted.module
        if self.world.owns(name):
            name = f"{self.prefix}.{name}"
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
            raise ServiceImportError(f"{self.service_name}: there is no file {path}", file=path)
        for root in self.roots:
            parts = path.relative_to(root).with_suffix("").parts if path.is_relative_to(root) else (".",)
            if not any("." in part for part in parts):
                return importlib.import_module(".".join((self.prefix, *parts)))
        return self._module_outside(path)

    def _module_outside(self, path: Path) -> ModuleType:
        """A file whose place is no importable name."""
        name = f"{self.prefix}.{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}"
        if name not in sys.modules:
            loader = ServiceLoader(name, str(path), self.world)
            spec = importlib.util.spec_from_file_location(name, path, loader=loader)
            assert spec is not None
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            try:
                loader.exec_module(module)
            except BaseException:
                sys.modules.pop(name, None)
                raise
        return sys.modules[name]

    def _no_module(self, name: str) -> ServiceImportError:
        known = [found.name for found in pkgutil.iter_modules([str(root) for root in self.roots])]
        where = f" in {', '.join(map(str, self.roots))}" if self.roots else ""
        return ServiceImportError(f"{self.service_name}: there is no module {name!r}{where}{did_you_mean(name, known)}")

    def _no_attribute(self, module: ModuleType, found: Any, name: str) -> ServiceImportError:
        holder = getattr(found, "__name__", type(found).__name__).removeprefix(f"{self.prefix}.")
        file = getattr(module, "__file__", None)
        return ServiceImportError(
            f"{self.service_name}: {holder} ({file}) has no {name!r}{did_you_mean(name, dir(found))}",
            file=Path(file) if file else None,
        )
