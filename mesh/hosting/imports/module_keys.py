"""Keys of `sys.modules` under which a module is found by one service only.

A dict asks each key that has the hash of the name looked up whether it is equal to that name. So an entry whose key is
a `ModuleKey` is found while its service runs, under the module's real name, by every look-up: the import statement,
`importlib`, C's pickle, `sys.modules[name]`. No look-up is replaced.

    sys.modules = {
        SharedKey("yaml"): <the installed yaml>,          found by all who have no `yaml` of their own
        ModuleKey("app") of users: <users/app.py>,        found while users runs
        SiteKey("yaml") of a virtual environment,         found while a service on it runs that has no `yaml` of its own
        ModuleKey("app") of orders: <orders/app.py>,      found while orders runs
        ParkedKey("app") of stock: <stock/app.py>,        under another hash, so that a look-up need not pass it
    }

Two keys are never equal to each other: a copy of `sys.modules`, or an update from one, keeps every entry.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from mesh.compat.importlib import ask_finder
from mesh.hosting.imports.asking_code import is_asked_by_mesh
from mesh.service import current_service_var

#: Keys of one name that stay under the name's hash. A look-up takes a tenth of a microsecond for each that it passes.
MAX_ACTIVE = 3

_lock = RLock()
_running_service = current_service_var.get


class View(NamedTuple):
    """What code sees that is nobody's own: the modules of a Site and the shared ones, or without one these alone.

    is_executing: while a module's code runs for the first time, as opposed to a look-up.
    """

    site: Any
    is_executing: bool


_NO_SITE = View(None, is_executing=False)
#: None where the running service's own modules are seen as well.
_view_var: ContextVar[View | None] = ContextVar("view", default=None)
_view = _view_var.get


class Scope(Protocol):
    """The part of an ImportScope, or of a Site, that keys use. parked: its keys that are out of the way, by name."""

    service_name: str
    parked: dict[str, ParkedKey]

    def hides(self, name: str) -> bool:
        """True if the service sees no shared module under that name."""


def current_scope() -> Any:
    """The ImportScope of the running service; None outside of one, and while a shared module is executed."""
    service = _running_service()
    return None if service is None or _view() is not None else service.import_scope


def current_site() -> Any:
    """The Site whose packages running code sees; None for those of the process."""
    view = _view()
    if view is not None:
        return view.site
    service = _running_service()
    return None if service is None or service.import_scope is None else service.import_scope.site


def executing_scope() -> Any:
    """The ImportScope of the running service while a module that it shares is executed; else None."""
    service, view = _running_service(), _view()
    scope = None if service is None or view is None or not view.is_executing else service.import_scope
    return scope if scope is not None and view is not None and scope.site is view.site else None


@contextmanager
def shared_imports(site: Any = None, is_executing: bool = False) -> Iterator[None]:
    """Import modules of the site, or without one those of the process, whichever service is running."""
    token = _view_var.set(View(site, is_executing) if site is not None or is_executing else _NO_SITE)
    try:
        yield
    finally:
        _view_var.reset(token)


def _parked(name: str) -> ParkedKey | None:
    """Return the key that running code should find under the name, if it is out of the way."""
    view = _view()
    if view is not None:
        return None if view.site is None else view.site.parked.get(name)
    service = _running_service()
    scope = None if service is None else service.import_scope
    if scope is None:
        return None
    return scope.parked.get(name) or (None if scope.site is None else scope.site.parked.get(name))


class SharedKey(str):
    """A module's name as seen by everybody except services that have another module of that name."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        if type(other) is not str:
            return self is other
        if not str.__eq__(self, other):
            return False
        view = _view()
        if view is not None:
            return view.site is None or not view.site.hides(other)
        service = _running_service()
        scope = None if service is None else service.import_scope
        if scope is None:
            return True
        if scope.hides(other):
            return False
        return scope.site is None or not scope.site.hides(other) or is_asked_by_mesh()

    def __ne__(self, other: object) -> bool:
        return not self == other


class ModuleKey(str):
    """A module's name as one service sees it."""

    __slots__ = ("entry", "scope")
    __hash__ = str.__hash__
    entry: NameEntry
    scope: Scope

    def __eq__(self, other: object) -> bool:
        if type(other) is not str:
            return self is other
        service = _running_service()
        scope = None if service is None else service.import_scope
        if scope is self.scope:
            return (str.__eq__(self, other) and _view() is None) or self._made_way(other)
        if scope is None:
            return str.__eq__(self, other) and self.entry.is_found_by_all(self)
        return self._made_way(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def _made_way(self, name: str) -> bool:
        """Put what is parked under the name back, for the look-up that has come to this key; False."""
        parked = _parked(name)
        if parked is not None:
            parked.activate(self)
        return False

    def park(self) -> bool:
        """Put the module under a key of another hash; False if it must stay, being executed, or is not there."""
        module = sys.modules.get(self)
        # The import system holds this very key until the module has been executed.
        if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
            return False
        parked = ParkedKey(self)
        parked.key = self
        sys.modules[parked] = module
        self.scope.parked[self.entry.name] = parked
        self.entry.keep_gate()
        if self in self.entry.active:
            self.entry.active.remove(self)
        del sys.modules[self]
        return True


class SiteKey(ModuleKey):
    """A module's name as seen by the services of one site that have no such module of their own."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        if type(other) is not str:
            return self is other
        view = _view()
        if view is not None:
            return (view.site is self.scope and str.__eq__(self, other)) or self._made_way(other)
        service = _running_service()
        scope = None if service is None else service.import_scope
        if scope is None:
            return str.__eq__(self, other) and self.entry.is_found_by_all(self)
        if scope.site is not self.scope or scope.hides(other):
            return self._made_way(other)
        return str.__eq__(self, other) and not is_asked_by_mesh()


class ParkedKey(str):
    """A module's name under another hash, which a look-up by name does not meet."""

    __slots__ = ("key",)
    __hash__ = object.__hash__
    key: ModuleKey

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is str and self.key == other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def activate(self, asked: ModuleKey | Gate) -> None:
        """Put the module back under its name.

        asked: the key that a look-up has come to. It leaves its place, upon which the dict begins the look-up again and
            so comes to the key that was put in, wherever that is.
        """
        key = self.key
        with _lock:
            if key.scope.parked.get(key.entry.name) is self:
                # Added before the other is removed: a look-up meanwhile finds one of the two.
                sys.modules[key] = sys.modules[self]
                del key.scope.parked[key.entry.name]
                del sys.modules[self]
                key.entry.active.append(key)
            # Another thread may have parked it while this one waited for the lock.
            if asked in sys.modules and not (isinstance(asked, ModuleKey) and asked.park()):
                sys.modules[asked] = sys.modules.pop(asked)
            key.entry.park_surplus()


class Gate(str):
    """A key that stays under a name whose keys are parked, whatever is deleted by that name; equal to nothing."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        if type(other) is str:
            parked = _parked(other)
            if parked is not None:
                parked.activate(self)
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


class NameEntry:
    """The keys that services have under one name.

    active: the keys under the name's own hash, the first of them the next to be parked.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys: list[ModuleKey] = []
        self.active: list[ModuleKey] = []
        self._gate: Gate | None = None
        self._is_shared: bool | None = None

    def add(self, scope: Scope, kind: type[ModuleKey] = ModuleKey) -> ModuleKey:
        """Return a key for the scope's module, which the import system puts into `sys.modules`."""
        key = kind(self.name)
        key.entry, key.scope = self, scope
        with _lock:
            self.keys.append(key)
            self.active.append(key)
            self.park_surplus()
        return key

    def park_surplus(self) -> None:
        """Park all but the newest few."""
        for surplus in self.active[:-MAX_ACTIVE]:
            surplus.park()

    def remove(self, key: ModuleKey) -> None:
        """Take the key and its module out of `sys.modules`."""
        with _lock:
            sys.modules.pop(key, None)
            parked = key.scope.parked.pop(self.name, None)
            if parked is not None:
                sys.modules.pop(parked, None)
            self.keys.remove(key)
            if key in self.active:
                self.active.remove(key)
            if not self.keys and self._gate is not None:
                sys.modules.pop(self._gate, None)
                self._gate = None

    def keep_gate(self) -> None:
        if self._gate is None:
            self._gate = Gate(self.name)
            sys.modules[self._gate] = None  # type: ignore[assignment]  # as for a name that is not to be found

    def is_found_by_all(self, key: ModuleKey) -> bool:
        """Return whether code that runs for no service can only mean this module.

        That is foreign code: a C library's thread, a finalizer. It finds the newest module of a name that one service
        alone has.
        """
        if key is not self.keys[-1] or any(each.scope.service_name != key.scope.service_name for each in self.keys):
            return False
        if self._is_shared is None:
            head = self.name.partition(".")[0]
            self._is_shared = any(ask_finder(finder, head, None, None) for finder in sys.meta_path)
        return not self._is_shared


def is_supported() -> bool:
    """Return whether what this interpreter finds by a name depends on the running service.

    Any other would show a service the modules of others.
    """
    name = "mesh_self_check"
    entry = NameEntry(name)
    try:
        for probe in (_ProbeService("one"), _ProbeService("two")):
            sys.modules[entry.add(probe)] = module = ModuleType(name)
            token = current_service_var.set(probe)  # type: ignore[arg-type]  # as far as the keys ask
            try:
                if __import__(name) is not module:
                    return False
            finally:
                current_service_var.reset(token)
        return name not in sys.modules
    except ImportError:
        return False
    finally:
        for key in list(entry.keys):
            entry.remove(key)


class _ProbeService:
    """A service and its scope."""

    def __init__(self, service_name: str) -> None:
        self.service_name = service_name
        self.parked: dict[str, ParkedKey] = {}
        self.import_scope = self
        self.site = None

    def hides(self, name: str) -> bool:
        return True
