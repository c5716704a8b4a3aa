"""Knows when the latest full garbage collections were."""

from __future__ import annotations

import gc
import math
import time
from collections import deque
from threading import get_ident

#: The generation that a full collection is of.
_FULL = 2
#: Collections that are known: while much is allocated, many may follow each other with nothing between them.
_KNOWN = 32


class FullCollections:
    """Listens to the collector from its creation until `close()`. thread: where it ran last, by ident."""

    def __init__(self) -> None:
        self.thread = 0
        self._spans: deque[list[float]] = deque(maxlen=_KNOWN)
        gc.callbacks.append(self._note)

    def close(self) -> None:
        gc.callbacks.remove(self._note)

    def took_most_of(self, seconds: float, within: float) -> bool:
        """Return True if they, of which one may go on, took more than half of these within the last seconds."""
        now = time.perf_counter()
        taken = sum(max(0.0, min(now, ended) - max(now - within, began)) for began, ended in tuple(self._spans))
        return taken > seconds / 2

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] == _FULL:
            if phase == "start":
                self.thread = get_ident()
                self._spans.append([time.perf_counter(), math.inf])
            elif self._spans:
                self._spans[-1][1] = time.perf_counter()
