"""Makes what a service's program waits for end at an interruption, as a signal would end it in a process."""

from __future__ import annotations

import asyncio
import functools
import signal
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.mains.main_thread import MainThread, has_ended
from mesh.hosting.patches import Patch


class Waits(Patch):
    """mains: by the ident of their threads; other threads wait as ever.

    new_loop: returns an event loop for the current service.
    """

    def __init__(self, import_hooks: ImportHooks, new_loop: Callable[[bool], asyncio.AbstractEventLoop]) -> None:
        super().__init__()
        self.mains: dict[int, MainThread] = {}
        self._import_hooks = import_hooks
        self._new_loop = new_loop

    def install(self) -> None:
        mains = self.mains
        sleep, wait, join, pause = time.sleep, threading.Condition.wait, threading.Thread.join, signal.pause

        def interruptible_sleep(seconds: float, /) -> None:
            main = mains.get(threading.get_ident())
            sleep(seconds) if main is None or seconds < 0 else main.sleep(seconds)

        def interruptible_wait(condition: threading.Condition, timeout: float | None = None) -> bool:
            main = mains.get(threading.get_ident())
            if main is None:
                return wait(condition, timeout)
            return main.wait_until(lambda step: wait(condition, step), timeout, holds_lock=True)

        def interruptible_join(thread: threading.Thread, timeout: float | None = None) -> None:
            main = mains.get(threading.get_ident())
            join(thread, timeout) if main is None else main.wait_until(functools.partial(has_ended, thread), timeout)

        def interruptible_pause() -> None:
            main = mains.get(threading.get_ident())
            pause() if main is None else main.wait_until(lambda step: sleep(step) or main.was_interrupted)

        self.patches.replace(time, "sleep", interruptible_sleep)
        self.patches.replace(threading.Condition, "wait", interruptible_wait)
        self.patches.replace(threading.Thread, "join", interruptible_join)
        self.patches.replace(signal, "pause", interruptible_pause)
        self._patch_loops()

    def _patch_loops(self) -> None:
        """Give programs event loops that accept signal handlers in their thread, and that can be interrupted."""
        run_forever = asyncio.BaseEventLoop.run_forever
        policy: Any = asyncio.events.BaseDefaultEventLoopPolicy
        get_loop = policy.get_event_loop

        def noted_run_forever(loop: asyncio.BaseEventLoop) -> None:
            main = self.mains.get(threading.get_ident())
            if main is not None:
                main.loops.add(loop)
                main.check()
            run_forever(loop)

        def get_event_loop(policy: Any) -> asyncio.AbstractEventLoop:
            try:
                found: asyncio.AbstractEventLoop = get_loop(policy)
            except RuntimeError:  # this is not the interpreter's main thread, for which it would make one
                if threading.get_ident() not in self.mains:
                    raise
                found = asyncio.new_event_loop()
                policy.set_event_loop(found)
            return found

        self.patches.replace(asyncio.BaseEventLoop, "run_forever", noted_run_forever)
        self.patches.replace(policy, "get_event_loop", get_event_loop)
        for module in (asyncio, asyncio.events):
            self._replace_new_event_loop(module)
        self._import_hooks.on_import("uvloop", self._replace_new_event_loop)

    def _replace_new_event_loop(self, module: ModuleType) -> None:
        real = module.new_event_loop

        @functools.wraps(real)
        def new_event_loop() -> asyncio.AbstractEventLoop:
            main = self.mains.get(threading.get_ident())
            if main is None:
                return real()  # type: ignore[no-any-return]  # of a module
            # What the author has tried the program with: the two differ in what they pass to a task factory, for one.
            loop = self._new_loop(module.__name__ == "uvloop")
            main.loops.add(loop)
            loop.call_soon(main.check)
            return loop

        self.patches.replace(module, "new_event_loop", new_event_loop)
