"""Keeps the process on one processor, whose threads share the GIL, until something computes without it."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.patches import Patch
from mesh.hosting.processes.exits import Notice

#: Packages that compute in threads of their own; some count the processors while they are imported.
COMPUTING = (
    "cv2",
    "datafusion",
    "duckdb",
    "faiss",
    "jaxlib",
    "llama_cpp",
    "numpy",
    "onnxruntime",
    "polars",
    "pyarrow",
    "tensorflow",
    "tokenizers",
    "torch",
)

_TASKS = "/proc/self/task"


class _Times(Struct, frozen=True):
    """Of a thread, since it began: seconds on a processor, seconds ready without one, and turns on one."""

    used: float
    waited: float
    turns: int

    def since(self, before: _Times) -> _Times:
        return _Times(self.used - before.used, self.waited - before.waited, self.turns - before.turns)

    @property
    def has_long_turns(self) -> bool:
        """Return False for a thread that answers calls: it hands the GIL to another one after a fraction of that."""
        return self.used >= 0.001 * self.turns


class Affinity(Struct, frozen=True):
    """processor: the number of the one to keep to. is_fixed: it is not left, whatever computes."""

    processor: int
    is_fixed: bool


class OneProcessor(Patch):
    """Linux only. Processes that are started have all processors, and `os.sched_getaffinity` tells those.

    affinity: None to leave the process as it is.
    """

    #: Consecutive looks that find threads computing. The share of the time that the process must have used, and that
    #: such threads must have used and waited for the processor.
    looks, busy, share = 2, 0.5, 0.25

    def __init__(self, import_hooks: ImportHooks, affinity: Affinity | None, notice: Notice) -> None:
        super().__init__()
        self._import_hooks = import_hooks
        self._affinity = affinity
        self._notice = notice
        self._one: set[int] = set()
        self._all: set[int] = set()
        self._is_kept = False
        self._found = 0
        self._before: dict[str, _Times] = {}
        self._looked = self._spent = 0.0

    def install(self) -> None:
        if self._affinity is None:
            return
        self._one = {self._affinity.processor}
        self._get, self._set = _affinity()
        self._all = self._get(0)
        self._is_kept = True
        self._set_all(self._one)
        self._looked, self._spent = time.monotonic(), time.process_time()
        for owner, name in _starters():
            self._replace(owner, name, self._everywhere(getattr(owner, name)))
        self._replace(os, "sched_getaffinity", self._told)
        self._replace(os, "sched_setaffinity", self._requested)
        # Python cannot unregister a hook: it does nothing once this object is gone.
        here = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _release(here()))
        if not self._affinity.is_fixed:
            self._import_hooks.before_execution(COMPUTING, self._imported)

    def uninstall(self) -> None:
        super().uninstall()
        self.release()

    def release(self) -> bool:
        """Use every processor again; return False if that was so already."""
        was_kept, self._is_kept = self._is_kept, False
        if was_kept:
            self._set_all(self._all)
        return was_kept

    def look(self) -> None:
        """Check, once a second, whether threads wait for the processor that need no GIL, and then use all of them."""
        if self._affinity is None or self._affinity.is_fixed or not self._is_kept:
            return
        now, spent = time.monotonic(), time.process_time()
        elapsed, used = now - self._looked, spent - self._spent
        self._looked, self._spent = now, spent
        if used < self.busy * elapsed:
            self._found, self._before = 0, {}
            return
        before, self._before = self._before, {task: times for task in os.listdir(_TASKS) if (times := _times(task))}
        lately = [times.since(before[task]) for task, times in self._before.items() if task in before]
        computing = [times for times in lately if times.has_long_turns]
        # One that waits for the GIL does not count as ready.
        share = self.share * elapsed
        is_found = sum(each.used for each in computing) >= share and sum(each.waited for each in computing) >= share
        self._found = self._found + 1 if is_found else 0
        if self._found == self.looks:
            self._leave("threads compute without the GIL")

    def _imported(self, name: str) -> None:
        self._leave(f"{name} computes without the GIL")

    def _leave(self, why: str) -> None:
        if self.release():
            self._notice("mesh", f"{why}: every processor is used from now on")

    def _set_all(self, processors: set[int]) -> None:
        # Twice: a thread may begin another while these are listed.
        for task in [*os.listdir(_TASKS), *os.listdir(_TASKS)]:
            with contextlib.suppress(OSError):  # It has ended.
                self._set(int(task), processors)

    @contextmanager
    def _on_all(self) -> Iterator[None]:
        """In the block, what the calling thread starts inherits every processor."""
        is_ours = self._is_kept and self._get(0) == self._one
        if is_ours:
            self._set(0, self._all)
        try:
            yield
        finally:
            if is_ours and self._is_kept:
                self._set(0, self._one)

    def _replace(self, owner: Any, name: str, found: Callable[..., Any]) -> None:
        @functools.wraps(getattr(owner, name))
        def replacement(*args: Any, **options: Any) -> Any:
            return found(*args, **options)

        replacement.__module__ = owner.__name__  # pickled by its name, as the original is
        self.patches.replace(owner, name, replacement)

    def _everywhere(self, start: Callable[..., Any]) -> Callable[..., Any]:
        def started(*args: Any, **options: Any) -> Any:
            with self._on_all():
                return start(*args, **options)

        return started

    def _told(self, pid: int) -> set[int]:
        found = self._get(pid)
        return set(self._all) if self._is_kept and found == self._one else found

    def _requested(self, pid: int, mask: Any) -> None:
        """A service chooses its processors itself."""
        self.release()
        self._set(pid, mask)


def _affinity() -> tuple[Callable[[int], set[int]], Callable[[int, set[int]], None]]:
    """Return the functions of the system that tell and set the processors of a thread."""
    assert sys.platform == "linux"
    return os.sched_getaffinity, os.sched_setaffinity


def _starters() -> list[tuple[Any, str]]:
    """Return the functions that start another program, by which all others do."""
    posix: Any = sys.modules["_posixsubprocess"]
    found: list[tuple[Any, str]] = [(posix, "fork_exec"), (subprocess, "_fork_exec")]
    found += [(os, name) for name in ("posix_spawn", "posix_spawnp", "system")]
    return [(owner, name) for owner, name in found if hasattr(owner, name)]


def _release(kept: OneProcessor | None) -> None:
    if kept is not None:
        kept.release()


def _times(task: str) -> _Times | None:
    """Return the times of a thread of this process; None if it has ended, or this Linux does not count them."""
    try:
        with open(f"{_TASKS}/{task}/schedstat", "rb", buffering=0) as file:
            used, waited, turns = map(int, file.read(100).split())
    except (OSError, ValueError):
        return None
    return _Times(used / 1e9, waited / 1e9, turns)
