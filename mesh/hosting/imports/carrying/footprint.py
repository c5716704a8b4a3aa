"""The state of a module, kept so that it can be told later whether somebody has written to it.

What is reachable from a module's namespace is noted once, right after the module has run: each object that can change,
and what it refers to at that time. A comparison is then a flat loop over these objects. The collector says what an
object refers to (`gc.get_referents`); no object is asked by `getattr`, which may run code of its class.
"""

from __future__ import annotations

import functools
import gc
import sys
import types
import weakref
from array import array
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from types import FunctionType, ModuleType
from typing import Any

from mesh.hosting.imports.carrying.readers import (
    MAX_BYTES,
    WEAK,
    Glance,
    Reader,
    differing,
    is_value,
    of_abc,
    of_bytes,
    of_class,
    of_function,
    of_namespace,
    of_weak,
    pairs,
    subclasses,
)
from mesh.service import ServiceContext

#: Objects that are looked at for one module; where there are more, it is not known whether it was written to.
MAX_OBJECTS = 4000
#: The same for a module of an installed package, which is looked at once, and not at each edit.
MAX_INSTALLED = 20_000

#: Objects of these types hold nothing that can be written to.
_ATOMS: frozenset[type] = frozenset(
    {
        *(str, bytes, int, float, bool, complex, type(None), type(Ellipsis), type(NotImplemented), range, slice),
        *(types.CodeType, types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType),
        *(types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType),
        *(types.MethodWrapperType, types.FrameType, types.TracebackType, weakref.ref, object),
    }
)
#: Modules of the standard library whose objects change by themselves, or hold what everybody shares.
_LEAVES = frozenset(
    {
        *("_asyncio", "_contextvars", "_ctypes", "_io", "_socket", "_ssl", "_thread", "abc", "asyncio", "ast"),
        *("_frozen_importlib", "_frozen_importlib_external", "builtins", "concurrent", "contextvars", "ctypes"),
        *("dataclasses", "datetime", "decimal", "enum", "importlib", "inspect", "logging", "mesh", "pathlib"),
        *("re", "socket", "ssl", "threading", "typing", "uuid", "zoneinfo"),
    }
)
#: Of `builtins` and `types`, what refers to other objects all the same.
_CONTAINERS: tuple[type, ...] = (
    *(dict, list, set, frozenset, tuple, property, staticmethod, classmethod, super),
    *(types.MethodType, types.MappingProxyType, types.SimpleNamespace, types.CellType),
)
_BYTES = (bytearray, array)
_CACHE = functools._lru_cache_wrapper
_CLOSING = frozenset({"close", "aclose", "disconnect", "dispose", "terminate"})
#: Names that Python itself writes into a namespace.
_PYTHONS = frozenset(
    {
        *("__builtins__", "__spec__", "__loader__", "__cached__", "__file__", "__path__", "__warningregistry__"),
        *("__annotations__", "__annotations_cache__", "__annotate__", "__doc__", "__dict__", "__weakref__"),
        *("__abstractmethods__", "_abc_impl"),
    }
)
_MISSING = object()


class Footprint:
    """The state of a module at the time when it was taken.

    owned: modules of the service, by name, among them the module itself. objects: by id, which module's footprint an
    object belongs to; the module's own are added.

    is_known: False if there is too much of it, or something that belongs to one generation.
    refers_to: the service's other modules of which it holds an object.
    holds_closable: it holds an object that can be closed, such as a connection.
    holds_cache: it has an `lru_cache`. To fill one is not to write to the module; what it holds is looked at again.
    is_installed: it belongs to an installed package. What its caches hold is for arguments that no later code has.
    earlier: the footprint of the same module before calls wrote to it. What they replaced, values such as counts, they
        may replace while others load as well: that is state.
    """

    def __init__(
        self,
        module: ModuleType,
        owned: Mapping[str, ModuleType],
        objects: dict[int, str],
        is_installed: bool = False,
        earlier: Footprint | None = None,
    ) -> None:
        self._is_installed = is_installed
        self._budget = MAX_INSTALLED if is_installed else MAX_OBJECTS
        self.is_known = True
        self.holds_closable = False
        self.holds_cache = False
        self.refers_to: set[str] = set()
        self._name = module.__name__
        self._namespace = vars(module)
        self._owned = owned
        #: An object, how it is read, and what was read. The references keep ids from being used twice.
        self._watched: list[tuple[Any, Reader, list[Any]]] = []
        self._values: list[tuple[Any, Reader, list[Any]]] = []
        self._subclasses: list[tuple[type, list[Any]]] = []
        self._state: dict[int, set[int]] = {} if earlier is None else earlier._replaced_values()
        self._visit(module, objects)
        # A module may be carried on when the others are gone.
        self._owned = {}
        if not self.is_known:
            self._watched, self._values, self._subclasses = [], [], []
        self._glance = Glance(subject for subject, _, _ in self._watched)
        self._ids = {id(subject): self._name for subject, _, _ in self._watched}
        self.enter_objects(objects)

    def enter_objects(self, objects: dict[int, str]) -> None:
        """Record which objects belong to the module."""
        objects.update(self._ids)

    def has_changed(self, with_subclasses: bool = False) -> bool:
        """Return True if something of it is no longer what it was. with_subclasses: a new subclass counts as well."""
        if with_subclasses and self._has_other_subclasses():
            return True
        try:
            if not self._glance.finds_all_as_before():
                for subject, read, before in self._watched:
                    if self._is_written(subject, read(subject), before):
                        return True
                self._glance.look_again()
            return self._has_other_values()
        except RuntimeError:  # It is being written to right now.
            return True

    def _has_other_subclasses(self) -> bool:
        return any(subclasses(subject) != before for subject, before in self._subclasses)

    def _has_other_values(self) -> bool:
        return any(read(subject) != before for subject, read, before in self._values)

    def _replaced_values(self) -> dict[int, set[int]]:
        """Return the places of values, such as counts, that have been replaced since, by the id of what holds them."""
        found = {}
        for subject, read, before in self._watched:
            now = read(subject)
            if places := differing(now, before):
                replaced = {place for place in places if is_value(now[place]) and is_value(before[place])}
                found[id(subject)] = replaced | self._state.get(id(subject), set())
        return found

    def _is_written(self, subject: Any, now: list[Any], before: list[Any]) -> bool:
        """Return False where calls write all the time, or Python itself: a submodule, a warning into a namespace."""
        places = differing(now, before)
        if places is not None and all(
            place in self._state.get(id(subject), ()) and is_value(now[place]) for place in places
        ):
            return False
        if subject is not self._namespace and not issubclass(type(subject), type):
            return True
        one, other = dict(pairs(now)), dict(pairs(before))
        return any(
            one.get(name, _MISSING) is not other.get(name, _MISSING)
            for name in one.keys() | other.keys()
            if name not in _PYTHONS and not self._is_submodule(name, one.get(name))
        )

    def _is_submodule(self, name: str, value: Any) -> bool:
        return issubclass(type(value), ModuleType) and value.__name__ == f"{self._name}.{name}"

    def _visit(self, module: ModuleType, objects: Mapping[int, str]) -> None:
        # Generated code keeps its own namespace under a name.
        seen = {id(module), id(self._namespace)}
        found = of_namespace(self._namespace)
        self._watched.append((self._namespace, of_namespace, found))
        stack = [value for name, value in pairs(found) if name not in _PYTHONS and not self._is_submodule(name, value)]
        while stack:
            subject = stack.pop()
            if type(subject) in _ATOMS or id(subject) in seen:
                continue
            seen.add(id(subject))
            if len(seen) > self._budget or issubclass(type(subject), ServiceContext):
                self.is_known = False
                return
            owner = objects.get(id(subject))
            if owner is not None and owner != self._name:
                self.refers_to.add(owner)
            else:
                stack += self._parts(subject)

    def _parts(self, subject: Any) -> Iterable[Any]:
        """Return what to look at after this object, which is noted if it can change."""
        kind = type(subject)
        # Not isinstance: it asks the object for its class, upon which lazy ones run code.
        if issubclass(kind, ModuleType):
            self._refer(subject.__name__, vars(subject))
            return ()
        if issubclass(kind, type):
            return self._parts_of_class(subject)
        if kind is FunctionType:
            self._refer(str(subject.__module__), subject.__globals__)
            is_ours = subject.__globals__ is self._namespace
            return self._note(subject, of_function) if is_ours or subject.__closure__ else ()
        if issubclass(kind, WEAK):
            return self._note_value(subject, of_weak)
        if issubclass(kind, _BYTES):
            self.is_known = self.is_known and len(subject) <= MAX_BYTES
            return self._note_value(subject, of_bytes)
        if issubclass(kind, _CACHE):
            self.holds_cache = not self._is_installed
            return () if self._is_installed else _held_by_cache(subject)
        self.holds_closable = self.holds_closable or _is_closable(kind)
        if _is_leaf(kind):
            # Its class may be the service's all the same.
            return (kind,)
        if kind is tuple or kind is frozenset:
            return list(subject)
        if kind.__dictoffset__:
            _make_dict(subject)
        return self._note(subject, gc.get_referents)

    def _parts_of_class(self, subject: type) -> Iterable[Any]:
        if subject.__module__ in self._owned and subject.__module__ != self._name:
            self.refers_to.add(subject.__module__)
            return ()
        if subject.__module__ != self._name and _is_importable(subject):
            return ()
        found = self._note(subject, of_class)
        if "_abc_impl" in vars(subject):
            self._note_value(subject, of_abc)
        self._subclasses.append((subject, subclasses(subject)))
        return [*(value for name, value in pairs(found) if name not in _PYTHONS), *subject.__mro__[1:], type(subject)]

    def _note(self, subject: Any, read: Reader) -> list[Any]:
        found = read(subject)
        self._watched.append((subject, read, found))
        return found

    def _note_value(self, subject: Any, read: Reader) -> list[Any]:
        self._values.append((subject, read, read(subject)))
        return list(subject.values()) if isinstance(subject, WEAK[1:]) else []

    def _refer(self, name: str, namespace: Mapping[str, Any]) -> None:
        owned = self._owned.get(name)
        if owned is not None and name != self._name and vars(owned) is namespace:
            self.refers_to.add(name)


class Footprints:
    """Those of many modules, looked at together: after most edits, most modules are as they were."""

    def __init__(self, footprints: Iterable[Footprint]) -> None:
        self._all = frozenset(footprints)
        self._glance = Glance(subject for each in self._all for subject, _, _ in each._watched)

    def are(self, footprints: Iterable[Footprint]) -> bool:
        """Return True if it is made of these."""
        return self._all == frozenset(footprints)

    def have_changed(self, with_subclasses: bool = False) -> bool:
        """Return True if that is so of one of them, as `Footprint.has_changed` says."""
        try:
            if self._glance.finds_all_as_before():
                return any(
                    each._has_other_values() or (with_subclasses and each._has_other_subclasses()) for each in self._all
                )
            if any(each.has_changed(with_subclasses) for each in self._all):
                return True
            self._glance.look_again()
        except RuntimeError:
            return True
        return False


def _held_by_cache(cache: Any) -> list[Any]:
    """Return the function, the arguments and the answers; not the dict, which changes as the cache is filled."""
    found = gc.get_referents(cache)
    dicts = [each for each in found if type(each) is dict]
    return [
        *(each for each in found if type(each) is not dict),
        *(value for each in dicts for pair in each.copy().items() for value in pair),
    ]


def _make_dict(subject: Any) -> None:
    """Make the object keep its attributes in a dict from now on: looking at it then adds no references."""
    found = next((vars(each)["__dict__"] for each in type(subject).__mro__ if "__dict__" in vars(each)), None)
    # A lazy object has a property of that name, which runs its code.
    if type(found) is types.GetSetDescriptorType:
        found.__get__(subject)


@functools.lru_cache(maxsize=1000)
def _is_leaf_module(name: str) -> bool:
    return name.partition(".")[0] in _LEAVES


def _is_leaf(kind: type) -> bool:
    return _is_leaf_module(str(kind.__module__)) and not issubclass(kind, _CONTAINERS)


def _is_closable(kind: type) -> bool:
    if kind is types.GeneratorType or (_is_leaf_module(str(kind.__module__)) and kind.__module__ != "_io"):
        return issubclass(kind, Executor)
    return any(not _CLOSING.isdisjoint(vars(each)) for each in kind.__mro__)


def _is_importable(subject: type) -> bool:
    """Return True for a class that stands in a shared module under its name, not one that was made in a call."""
    found: Any = sys.modules.get(subject.__module__)
    for name in subject.__qualname__.split("."):
        found = vars(found).get(name) if isinstance(found, type | ModuleType) else None
    return found is subject
