"""The private import world of one service at one generation.

A service's modules are found under its roots and loaded below a private package, `mesh_user_service_1.models`, so that
two services with a `models.py` each have their own. Every module of the service holds a private `__builtins__` whose
`__import__` asks the roots first; everything else is imported as ever, and shared. Nothing global is replaced.

The order is Python's own for a script in its folder: what the interpreter holds (built in or frozen: `sys`, `os`), the
roots in their order, the standard library and what is installed. So a local `calendar.py` wins, for this service
alone. A folder without `__init__.py` gives way to an installed package, as in plain Python, but for what only the
folder holds.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import mesh
from mesh.hosting.facades import private_atexit, private_builtins, private_importlib, private_sys
from mesh.hosting.listings import Listings
from mesh.hosting.loader import claim, find_in, forget_listings
from mesh.hosting.protos import Protos

_shared_import = builtins.__import__


class World:
    """The names one generation of a service sees.

    roots: absolute folders, searched in order. prefix: the private package its modules stand below.
    facades: what the service gets in place of some shared modules, by name. protos: the same for generated code.
    """

    def __init__(self, service_name: str, roots: Sequence[Path], number: int, protos: Protos) -> None:
        self.roots = tuple(Path(os.path.abspath(root)) for root in roots)
        self.package = claim(f"{stem_of(service_name)}{number}", self.roots)
        self.prefix = self.package.__name__
        own_builtins = private_builtins(self._import_function())
        self.builtins: dict[str, Any] = own_builtins.__dict__
        self.protos = protos
        protos.builtins = self.builtins
        own_importlib = private_importlib(self.owns, self.prefix)
        own_sys = private_sys([*map(str, self.roots), *sys.path])
        own = (own_builtins, own_importlib, own_sys, private_atexit())
        self.facades: dict[str, Any] = {module.__name__: module for module in own}
        self.paths: dict[str, str] = {}
        self.importers: dict[str, set[str]] = {}
        self.found: dict[str, ModuleSpec] = {}
        self._noted: set[tuple[str, str, tuple[str, ...]]] = set()
        self._own: set[str] = set()
        self._contested: set[str] = set()
        self._paths: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._search: list[str] = []
        self._listings = Listings()
        #: Whether what the service declares is being loaded, as opposed to what its code imports later.
        self.is_loading = False
        forget_listings(self.search())

    def search(self) -> list[str]:
        """The roots, and what the service's code has put into its `sys.path` beside everybody's."""
        if not self.roots:
            return []
        paths = (tuple(self.facades["sys"].path), tuple(sys.path))
        if paths != self._paths:
            shared, roots = set(sys.path), set(map(str, self.roots))
            self._search = [os.path.abspath(e) for e in paths[0] if e and (e in roots or e not in shared)]
            self._paths = paths
        return self._search

    def owns(self, name: str, fromlist: Sequence[str] = ()) -> bool:
        """Whether an absolute import of that name is of the service's own module."""
        head, _, rest = name.partition(".")
        if head in self._own:
            return True
        if not self.roots or head in sys.builtin_module_names or FrozenImporter.find_spec(head) is not None:
            return False
        # Most imports are of what is shared: a look into the folders' listings is enough for those. While code is
        # loaded it is the first look, for what everybody has already.
        first = self.is_loading and head in sys.modules
        if not any(self._listings.candidates(folder, head, first) for folder in self.search()):
            return False
        spec = find_in(self, f"{self.prefix}.{head}", self.search())
        if spec is None or spec.origin == mesh.__file__:
            return False
        if spec.loader is None and self.installed(head):
            self._contested.add(head)
            wanted = [rest.partition(".")[0]] if rest else fromlist
            folder = spec.submodule_search_locations
            return any(
                PathFinder.find_spec(f"{head}.{n}", folder) and not self.installed(f"{head}.{n}") for n in wanted
            )
        self._own.add(head)
        # The import that follows looks no second time.
        self.found[spec.name] = spec
        return True

    def source(self, name: str, folders: Sequence[str]) -> str | None:
        """The source file that a module in these folders is, where their listings leave no doubt."""
        return self._listings.source(folders, name, self.is_loading)

    def installed(self, name: str) -> bool:
        """Whether everybody else finds a module of that name, outside the roots."""
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return False
        if spec is None:
            return False
        places = [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
        depth, own = name.count("."), self.search()
        return any(len(place.parents) <= depth or str(place.parents[depth]) not in own for place in places)

    def loading(self, name: str, path: str) -> None:
        """Notes a module's file before it is loaded; called by its loader."""
        self.paths[name] = path

    def _import_function(self) -> Callable[..., ModuleType]:
        self._shared: set[str] = set()
        self._seen: dict[tuple[str, Any, Any], str] = {}
        shared, seen, slow = self._shared, self._seen, self._import

        # The names are the language's: a call may give any of them by keyword.
        def __import__(  # noqa: A001
            name: str,
            globals: Any = None,  # noqa: A002
            locals: Any = None,  # noqa: A002
            fromlist: Any = (),
            level: int = 0,
        ) -> ModuleType:
            if name in shared and not level:
                return _shared_import(name, globals, locals, fromlist, 0)
            # The same statement once more: a function's own import, at each call of it.
            if not level and globals and (fromlist is None or fromlist.__class__ is tuple):
                module = sys.modules.get(seen.get((name, globals.get("__name__"), fromlist), ""))
                if module is not None:
                    return module
            return slow(name, globals, fromlist, level)

        return __import__

    def _import(self, name: str, caller: Mapping[str, Any] | None, given: Any, level: int) -> ModuleType:
        fromlist: Sequence[str] = given or ()
        if level:
            module = _shared_import(name, caller, None, fromlist, level)
            self._note(caller, module, fromlist)
            return module
        head = name.partition(".")[0]
        if self.owns(name, fromlist):
            module = _shared_import(f"{self.prefix}.{name}", caller, None, fromlist or ("__doc__",), 0)
            self._note(caller, module, fromlist)
            # Of a package, the names asked for may be modules that are yet to be imported.
            if caller and (name == head or fromlist) and not (fromlist and hasattr(module, "__path__")):
                with contextlib.suppress(TypeError):  # a list of names can not be looked up
                    self._seen[name, caller.get("__name__"), given] = f"{self.prefix}.{name}"
            return module if fromlist else sys.modules[f"{self.prefix}.{head}"]
        module = _shared_import(name, caller, None, fromlist, 0)
        if head == "google":
            return self.protos.dress(module, str((caller or {}).get("__name__", "")), fromlist)
        if head in self.facades:
            return self.facades[head] if name == head or not fromlist else module
        if head not in self._contested:
            self._shared.add(name)
        return module

    def _note(self, caller: Mapping[str, Any] | None, module: ModuleType, fromlist: Sequence[str]) -> None:
        """Who imports whom, by private module names."""
        importer = (caller or {}).get("__name__")
        edge = (str(importer), module.__name__, tuple(fromlist))
        if importer is None or edge in self._noted:
            return
        self._noted.add(edge)
        for name in (module.__name__, *(f"{module.__name__}.{name}" for name in fromlist)):
            if name in self.paths:
                self.importers.setdefault(name, set()).add(edge[0])


def stem_of(service_name: str) -> str:
    """What the private packages of a service begin with; the generation's number follows."""
    return f"mesh_{re.sub(r'[^0-9A-Za-z]', '_', service_name)}_"
