"""Knows when the latest full garbage collection was."""

from __future__ import annotations

import gc
import math
import time
from threading import get_ident

#: The generation that a full collection is of.
_FULL = 2


class FullCollections:
    """Listens to the collector from its creation until `close()`. thread: where it ran last, by ident."""

    def __init__(self) -> None:
        self.thread = 0
        self._began = self._ended = 0.0
        gc.callbacks.append(self._note)

    def close(self) -> None:
        gc.callbacks.remove(self._note)

    def took_most_of(self, seconds: float, within: float) -> bool:
        """Return True if the latest one, which may go on, took more than half of these within the last seconds."""
        now = time.perf_counter()
        return min(now, self._ended) - max(now - within, self._began) > seconds / 2

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] == _FULL:
            if phase == "start":
                self.thread = get_ident()
                self._began, self._ended = time.perf_counter(), math.inf
            else:
                self._ended = time.perf_counter()
