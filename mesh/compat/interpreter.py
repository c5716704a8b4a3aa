"""What the interpreter itself knows: registered classes, where each thread is, and which objects are the same."""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]  # what abc.py is made of, not known to typeshed
import sys
from gc import disable, enable, isenabled
from operator import is_
from threading import Lock
from types import FrameType
from typing import Any

_lock = Lock()
#: Items of a list from which on it pays to import ctypes, which takes some milliseconds.
MANY = 30_000
#: A list ends with the pointer to its items and their number, in each CPython that was tried.
_HAS_KNOWN_LISTS = sys.implementation.name == "cpython" and sys.version_info < (3, 15)


def registered_classes(base: type) -> int:
    """Return how many classes `register` was called with and that still exist."""
    return len(_abc._get_dump(base)[0])


def current_frames() -> dict[int, FrameType]:
    """Return the frame of each thread, by its ident.

    Before Python 3.12, `sys._current_frames()` holds a lock of the interpreter while it makes objects. If that starts
    the garbage collector, and a finalizer gives the GIL away to a thread that is about to start another one, these two
    wait for each other forever, and all others with them (cpython#106883).
    """
    if sys.version_info >= (3, 12):
        return sys._current_frames()
    with _lock:
        was_enabled = isenabled()
        disable()
        try:
            return sys._current_frames()
        finally:
            if was_enabled:
                enable()


def are_same_objects(one: list[Any], other: list[Any]) -> bool:
    """Return True if the lists hold the very same objects, in the same order.

    Of many, the pointers are compared as bytes, in a twenty-fifth of the time that `is` takes for each pair. `==` asks
    objects for their opinion as soon as two differ.
    """
    if len(one) != len(other):
        return False
    if len(one) < MANY or not _HAS_KNOWN_LISTS:
        return all(map(is_, one, other))
    return _pointers(one) == _pointers(other)


def _pointers(items: list[Any]) -> bytes:
    import ctypes

    size = ctypes.sizeof(ctypes.c_void_p)
    start = ctypes.c_void_p.from_address(id(items) + list.__basicsize__ - 2 * size).value
    return ctypes.string_at(start, len(items) * size) if start is not None else b""
