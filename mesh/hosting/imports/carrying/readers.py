"""What objects refer to, read so that it can be compared with what they referred to before."""

from __future__ import annotations

import gc
import weakref
from array import array
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from types import FunctionType
from typing import Any

from mesh.compat.interpreter import are_same_objects, registered_classes

#: Bytes that are compared, of a bytearray say.
MAX_BYTES = 64 * 1024
#: Containers that keep nothing alive; the first is a set.
WEAK = (weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary)

Reader = Callable[[Any], list[Any]]


class Glance:
    """All that some objects refer to, asked of the collector at once: most modules are as they were.

    What it finds changed may be Python's own doing; what it finds as before is so.
    """

    def __init__(self, subjects: Iterable[Any]) -> None:
        self._subjects: list[Any] = []
        #: Their names are compared as well: of a dict, the collector sees the values alone.
        self._dicts: list[dict[str, Any]] = []
        for subject in subjects:
            self._add(subject)
        self.look_again()

    def look_again(self) -> None:
        """Note what there is now."""
        self._before = self._now()

    def finds_all_as_before(self) -> bool:
        return are_same_objects(self._now(), self._before)

    def _now(self) -> list[Any]:
        return [*gc.get_referents(*self._subjects), *chain.from_iterable(self._dicts)]

    def _add(self, subject: Any) -> None:
        self._subjects.append(subject)
        kind = type(subject)
        if kind is dict:
            self._dicts.append(subject)
        elif kind is FunctionType:
            self._subjects += subject.__closure__ or ()
            if subject.__dict__:
                self._add(subject.__dict__)
        elif issubclass(kind, type):
            self._subjects.pop()
            # The dict itself, behind its proxy: the class also refers to what the interpreter caches of it.
            self._add(gc.get_referents(vars(subject))[0])


def differing(now: list[Any], before: list[Any]) -> list[int] | None:
    """Return the places where there is something else, not just an equal text or number; None if more or fewer are."""
    if len(now) != len(before):
        return None
    pairs = enumerate(zip(now, before, strict=True))
    return [place for place, (one, other) in pairs if one is not other and not _is_equal(one, other)]


def _is_equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and type(one) in (str, bytes, int) and bool(one == other)


def is_value(subject: Any) -> bool:
    """Return True for what refers to nothing, and is not compared by identity."""
    return subject is None or type(subject) in (str, bytes, int, float, bool, complex)


def of_namespace(namespace: Mapping[str, Any]) -> list[Any]:
    """Return the names, then the values."""
    return [*namespace, *namespace.values()]


def pairs(found: list[Any]) -> Iterable[tuple[str, Any]]:
    """Return the names with their values."""
    half = len(found) // 2
    return zip(found[:half], found[half:], strict=False)


def of_class(subject: type) -> list[Any]:
    return of_namespace(vars(subject))


def of_function(function: FunctionType) -> list[Any]:
    found = [function.__code__, function.__defaults__, function.__kwdefaults__]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            found.append(None)
    if function.__dict__:
        found += of_namespace(function.__dict__)
    return found


def of_weak(container: Any) -> list[Any]:
    """Return ids: a reference would keep what is in it."""
    pairs = list(container.items()) if isinstance(container, WEAK[1:]) else [(each, 0) for each in container]
    return sorted((id(key), id(value)) for key, value in pairs)


def of_bytes(subject: bytearray | array[Any]) -> list[Any]:
    return [bytes(subject[:MAX_BYTES])]


def of_abc(subject: type) -> list[Any]:
    return [registered_classes(subject)]


def subclasses(subject: type) -> list[Any]:
    found: list[type] = type.__subclasses__(subject)
    return list(map(id, found))
