"""What the garbage collector takes away, sooner or later."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def settled(rest: Callable[[], T]) -> T:
    """Wait until nothing is left, and return the rest after a while: timers and threads that end take theirs.

    One collection is not enough: `gc.collect()` does nothing while another thread is in the middle of one.
    """
    pause = threading.Event()
    for _ in range(400):
        gc.collect()
        if not rest():
            break
        pause.wait(0.05)
    return rest()
