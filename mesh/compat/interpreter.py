"""What the interpreter itself knows: who was registered with an abstract base class, and where each thread is."""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]  # what abc.py is made of, not known to typeshed
import sys
from gc import disable, enable, isenabled
from threading import Lock
from types import FrameType

_lock = Lock()


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
