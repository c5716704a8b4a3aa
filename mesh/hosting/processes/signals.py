"""Signals of services: those that one sends itself, or sets a handler for, reach only that service."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import errno
import os
import signal
import threading
import weakref
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

from msgspec import Struct, field

from mesh.hosting.patches import Patch
from mesh.hosting.processes.exits import Notice, tell_last
from mesh.hosting.processes.fork import Forks
from mesh.hosting.processes.interval_timers import IntervalTimer
from mesh.hosting.tracebacks import caller
from mesh.service import ServiceContext, current_service_var

#: Signals that stop the service that sends them to itself. From outside they stop mesh.
STOPS = frozenset({signal.SIGINT, signal.SIGTERM})
#: Signals from outside that reach each service with a handler for them.
HEARD = frozenset({signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF})
#: Signals that are ignored by a process without a handler.
_HARMLESS = frozenset({signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGPIPE, signal.SIGXFSZ})
_UNCATCHABLE = frozenset({signal.SIGKILL, signal.SIGSTOP})
#: Python's handlers at its start; all other signals have SIG_DFL.
_INITIAL: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGPIPE: signal.SIG_IGN,
    signal.SIGXFSZ: signal.SIG_IGN,
}


class _Handler(Struct):
    """loop: the one that `add_signal_handler` was called on."""

    function: Any
    loop: asyncio.AbstractEventLoop | None = None


class _Table(Struct):
    """The handlers of one generation of a service. told: the messages about its signals, each given once."""

    service: ServiceContext
    timer: IntervalTimer
    handlers: dict[int, _Handler] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


class Signals(Patch):
    """Keeps each service's signal handlers and timer, and calls a handler in the thread of its service's loop.

    stop: requests the stop of the service of this name. alone: see Isolation.
    """

    def __init__(self, forks: Forks, notice: Notice, stop: Callable[[str], object], alone: bool) -> None:
        super().__init__()
        self._forks = forks
        self._notice = notice
        self._stop = stop
        self._alone = alone
        self._tables: dict[int, _Table] = {}
        #: By service, its loop and the ident of the thread that it runs in.
        self._loops: dict[str, tuple[weakref.ref[asyncio.AbstractEventLoop], int]] = {}

    def install(self) -> None:
        self._replace(signal, "signal", self._set_handler)
        self._replace(signal, "getsignal", self._get_handler)
        self._replace(signal, "alarm", self._alarm)
        self._replace(signal, "setitimer", self._set_timer, lambda which, *_: self._is_own_timer(which))
        self._replace(signal, "getitimer", self._get_timer, lambda which: self._is_own_timer(which))
        self._replace(signal, "raise_signal", self._raise)
        self._replace(signal, "pthread_kill", lambda service, _, number: self._raise(service, number), _is_signal)
        self._replace(
            os,
            "kill",
            lambda service, _, number: self._raise(service, number),
            lambda pid, number: pid in (os.getpid(), 0, -os.getpgrp()) and _is_signal(pid, number),
        )
        self._replace(
            os,
            "killpg",
            lambda service, _, number: self._raise(service, number),
            lambda group, number: group in (os.getpgrp(), 0) and _is_signal(group, number),
        )
        self._replace(_thread, "interrupt_main", self._interrupt_main)

    def _replace(
        self,
        module: Any,
        name: str,
        own: Callable[..., Any],
        is_own: Callable[..., bool] = lambda *_: True,
    ) -> None:
        """Make services call `own(service, ...)`, if `is_own(...)`, instead of the module's function.

        In a child that a service has forked, signals are the child's own.
        """
        real = getattr(module, name)

        def replacement(*args: Any) -> Any:
            service = None if self._forks.in_child else current_service_var.get()
            return real(*args) if service is None or not is_own(*args) else own(service, *args)

        self.patches.replace(module, name, replacement)

    def remove_service(self, service: ServiceContext) -> None:
        table = self._tables.pop(id(service), None)
        if table is not None:
            table.timer.set(0)

    def add_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Record the loop of the current service, in the thread that will run it."""
        service = current_service_var.get()
        if service is not None:
            self._loops[service.name] = weakref.ref(loop), threading.get_ident()

    def set_loop_handler(self, loop: asyncio.AbstractEventLoop, number: int, callback: Callable[[], object]) -> None:
        """Do for a service's loop what `add_signal_handler` does."""
        service = current_service_var.get()
        if service is not None:
            self._keep(service, number, _Handler(lambda number, frame: callback(), loop))

    def remove_loop_handler(self, number: int) -> bool:
        """Do for a service's loop what `remove_signal_handler` does."""
        service = current_service_var.get()
        return service is not None and self._table(service).handlers.pop(number, None) is not None

    def run_stop_handler(self, service: ServiceContext) -> None:
        """Call the service's handler for SIGTERM, else SIGINT, once; to be called in its thread at its stop.

        Exceptions of the handler are passed on, except its `sys.exit`.
        """
        handler = self.take_stop_handler(service)
        if handler is not None:
            with contextlib.suppress(SystemExit):
                handler(signal.SIGTERM, None)

    def take_stop_handler(self, service: ServiceContext) -> Callable[[int, None], object] | None:
        """Return the service's handler for SIGTERM, else SIGINT, and forget its handlers and its timer."""
        table = self._tables.pop(id(service), None)
        if table is None:
            return None
        table.timer.set(0)
        found = (each.function for n in (signal.SIGTERM, signal.SIGINT) if (each := table.handlers.get(n)))
        return next((each for each in found if callable(each) and each is not signal.default_int_handler), None)

    def arrived(self, number: int) -> None:
        """Pass on a signal from outside to each service that has a handler for it."""
        handled = [(each, handler) for each in list(self._tables.values()) if (handler := each.handlers.get(number))]
        for table, handler in handled:
            if callable(handler.function):
                self._call(table, number, handler)
        if not handled:
            self._notice("mesh", f"{_name(number)} was ignored: no service has a handler for it")

    # Called by services.

    def _set_handler(self, service: ServiceContext, number: int, handler: Any) -> Any:
        if number not in signal.valid_signals():
            raise ValueError("signal number out of range")
        if number in _UNCATCHABLE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if not callable(handler) and handler not in (signal.SIG_DFL, signal.SIG_IGN):
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
        return self._keep(service, number, _Handler(handler))

    def _get_handler(self, service: ServiceContext, number: int) -> Any:
        kept = self._table(service).handlers.get(number)
        return kept.function if kept is not None else _INITIAL.get(number, signal.SIG_DFL)

    def _alarm(self, service: ServiceContext, seconds: int) -> int:
        left, _ = self._set_timer(service, signal.ITIMER_REAL, int(seconds))
        return max(1, round(left)) if left else 0

    def _set_timer(
        self, service: ServiceContext, which: int, seconds: float, interval: float = 0.0
    ) -> tuple[float, float]:
        self._refuse_processor_time(service, which)
        if seconds < 0 or interval < 0:
            raise signal.ItimerError(errno.EINVAL, os.strerror(errno.EINVAL))
        service.note_set_up()
        return self._table(service).timer.set(seconds, interval)

    def _get_timer(self, service: ServiceContext, which: int) -> tuple[float, float]:
        self._refuse_processor_time(service, which)
        return self._table(service).timer.get()

    def _is_own_timer(self, which: int) -> bool:
        return which == signal.ITIMER_REAL or not self._alone

    def _refuse_processor_time(self, service: ServiceContext, which: int) -> None:
        if which != signal.ITIMER_REAL:
            raise signal.ItimerError(
                errno.ENOTSUP,
                f"{service.name}: the timer at {caller()} counts the processor time of every service of this process; "
                'give this one its own process: isolation = "process"',
            )

    def _interrupt_main(self, service: ServiceContext, number: int = signal.SIGINT) -> None:
        if callable(self._get_handler(service, number)):
            self._raise(service, number)

    def _raise(self, service: ServiceContext, number: int) -> None:
        """Deliver a signal that the service sends itself."""
        name = _name(number)
        if number in _UNCATCHABLE:
            whole = "its process" if self._alone else "the whole process, every service with it"
            tell_last(service, f"{name} was sent at {caller()}; it ends {whole}")
            _kill(os.getpid(), number)
        self._deliver(service, number, f"{name}, sent at {caller()},")

    # The outcome of the signal.

    def _table(self, service: ServiceContext) -> _Table:
        table = self._tables.get(id(service))
        if table is None:

            def expire() -> None:
                self._deliver(service, signal.SIGALRM, "SIGALRM of its timer")

            table = self._tables[id(service)] = _Table(service, IntervalTimer(expire))
        return table

    def _keep(self, service: ServiceContext, number: int, handler: _Handler) -> Any:
        service.note_set_up()
        table, before = self._table(service), self._get_handler(service, number)
        if number not in HEARD and callable(handler.function):
            name = _name(number)
            when = (
                "is called when the service stops: signals go to mesh"
                if number in STOPS
                else "is called for those that the service sends itself: others go to mesh"
            )
            self._tell(table, f"{name} ", f"its handler of {name} ({caller()}) {when}")
        table.handlers[number] = handler
        return before

    def _deliver(self, service: ServiceContext, number: int, what: str) -> None:
        table = self._table(service)
        handler = table.handlers.get(number)
        function = handler.function if handler is not None else signal.SIG_DFL
        if function == signal.SIG_IGN:
            return
        if number in STOPS:
            self._tell(table, what, f"{what} stops this service only")
            self._stop(service.name)
        elif handler is not None and callable(function):
            self._call(table, number, handler)
        elif number not in _HARMLESS:
            self._tell(table, what, f"{what} was ignored: the service has no handler for it")

    def _call(self, table: _Table, number: int, handler: _Handler) -> None:
        """Call a handler at once in the thread of the service's loop, as in a main thread; else from the loop."""
        reference, thread = self._loops.get(table.service.name, (lambda: None, 0))
        loop = handler.loop or reference()
        if loop is None or (handler.loop is None and thread == threading.get_ident()):
            handler.function(number, None)
            return
        context = Context()
        context.run(current_service_var.set, table.service)
        with contextlib.suppress(RuntimeError):  # The loop has ended, and the service with it.
            loop.call_soon_threadsafe(partial(handler.function, number, None), context=context)

    def _tell(self, table: _Table, key: str, text: str) -> None:
        if key not in table.told:
            table.told.add(key)
            self._notice(table.service.name, text)


# The original: what a service finds in `os` is replaced.
_kill = os.kill


def _is_signal(_: int, number: int) -> bool:
    """Return True for a signal; 0 only checks whether the process or thread exists."""
    return number in signal.valid_signals()


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
