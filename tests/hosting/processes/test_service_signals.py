"""Signals that services set handlers for, or send themselves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mesh.service import ServiceContext
    from tests.hosting.conftest import Hosted

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def ours() -> Iterator[dict[signal.Signals, Any]]:
    """This process ends by none of these signals, but fails the test that let one through."""
    reached: list[int] = []
    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda number, frame: reached.append(number)) for number in numbers}
    yield {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert reached == []


def send(number: int) -> dict[str, Callable[[], object]]:
    """Return the ways in which a program sends itself a signal."""
    return {
        "raise_signal": lambda: signal.raise_signal(number),
        "kill": lambda: os.kill(os.getpid(), number),
        "kill own group": lambda: os.kill(0, number),
        "killpg": lambda: os.killpg(os.getpgrp(), number),
        "pthread_kill": lambda: signal.pthread_kill(threading.main_thread().ident or 0, number),
    }


WAYS = list(send(0))


@contextmanager
def running_loop(hosted: Hosted, service: ServiceContext) -> Iterator[asyncio.AbstractEventLoop]:
    """Run the service's loop in a separate thread."""
    started: list[asyncio.AbstractEventLoop] = []
    ready = threading.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=hosted.isolation.new_event_loop) as runner:
            started.append(runner.get_loop())
            started[0].call_soon(ready.set)
            started[0].run_forever()

    thread = threading.Thread(target=hosted.within, args=(service, run))
    thread.start()
    assert ready.wait(PATIENCE)
    yield started[0]
    started[0].call_soon_threadsafe(started[0].stop)
    thread.join()


def test_a_signal_handler_is_kept_and_called_at_the_stop(hosted: Hosted, ours: dict[signal.Signals, Any]) -> None:
    """Holds in any thread, where signal.signal alone raises ValueError; with one line."""
    one = hosted.add("one")
    calls: list[Any] = []

    def configure() -> None:
        assert signal.signal(signal.SIGTERM, lambda *args: calls.append(args)) is signal.SIG_DFL
        first = signal.signal(signal.SIGTERM, lambda *args: (calls.append(args), sys.exit(0)))
        assert callable(first)

    thread = threading.Thread(target=hosted.within, args=(one, configure))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is ours[signal.SIGTERM]
    hosted.isolation.signals.run_stop_handler(one)
    hosted.isolation.signals.run_stop_handler(one)
    assert calls == [(signal.SIGTERM, None)]
    (line,) = hosted.lines
    assert line[:2] == ("one", "mesh")
    assert line[2].startswith(f"its handler of SIGTERM ({__file__}:")
    assert line[2].endswith(") is called when the service stops: signals go to mesh")


def test_a_loops_signal_handler_as_well(hosted: Hosted) -> None:
    one = hosted.add("one")
    calls: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, calls.append, "removed")
        assert (loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR1)) == (True, False)
        loop.add_signal_handler(signal.SIGINT, calls.append, "stopped")

    def run() -> None:
        with asyncio.Runner(loop_factory=hosted.isolation.new_event_loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=hosted.within, args=(one, run))
    thread.start()
    thread.join()
    hosted.isolation.signals.run_stop_handler(one)
    assert calls == ["stopped"]


@pytest.mark.parametrize("way", WAYS)
def test_a_signal_that_a_service_sends_itself_reaches_its_own_handler_in_the_thread_of_its_loop(
    way: str, hosted: Hosted
) -> None:
    one, two, handled = hosted.add("one"), hosted.add("two"), threading.Event()
    calls: list[Any] = []

    def handler(number: int, frame: object) -> None:
        calls.append((number, threading.current_thread()))
        handled.set()

    hosted.within(two, signal.signal, signal.SIGUSR1, lambda *_: calls.append("of another service"))
    with running_loop(hosted, one) as loop:
        hosted.within(one, signal.signal, signal.SIGUSR1, handler)
        hosted.within(one, send(signal.SIGUSR1)[way])
        assert handled.wait(PATIENCE)
        (call,) = calls
        assert call == (signal.SIGUSR1, next(each for each in threading.enumerate() if each.ident == _thread_of(loop)))
    assert hosted.lines == []


def _thread_of(loop: asyncio.AbstractEventLoop) -> int:
    """Return the ident of the thread that runs the loop."""
    found: list[int] = []
    answered = threading.Event()
    loop.call_soon_threadsafe(lambda: (found.append(threading.get_ident()), answered.set()))
    assert answered.wait(PATIENCE)
    return found[0]


def test_in_the_thread_of_the_loop_the_handler_has_run_when_the_sender_goes_on(hosted: Hosted) -> None:
    one, done = hosted.add("one"), threading.Event()
    calls: list[Any] = []

    def service() -> None:
        signal.signal(signal.SIGUSR2, lambda *args: calls.append(args))
        signal.raise_signal(signal.SIGUSR2)
        calls.append("after")
        done.set()

    with running_loop(hosted, one) as loop:
        loop.call_soon_threadsafe(hosted.within, one, service)
        assert done.wait(PATIENCE)
    assert calls == [(signal.SIGUSR2, None), "after"]


def test_a_handler_of_a_loop_runs_in_that_loop_for_the_service(hosted: Hosted) -> None:
    one, handled = hosted.add("one", env={"NAME": "one"}), threading.Event()
    found: list[tuple[str | None, bool]] = []

    async def configure() -> None:
        loop = asyncio.get_running_loop()

        def handler() -> None:
            found.append((os.environ.get("NAME"), asyncio.get_running_loop() is loop))
            handled.set()

        loop.add_signal_handler(signal.SIGUSR1, handler)

    with running_loop(hosted, one) as loop:
        hosted.within(one, lambda: asyncio.run_coroutine_threadsafe(configure(), loop)).result(PATIENCE)
        hosted.isolation.signals.arrived(signal.SIGUSR1)  # from outside
        assert handled.wait(PATIENCE)
    assert found == [("one", True)]


@pytest.mark.parametrize("way", [*WAYS, "interrupt_main"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_that_sends_itself_a_signal_to_end_stops_alone(
    way: str, number: signal.Signals, hosted: Hosted
) -> None:
    import _thread

    one = hosted.add("one")
    if way == "interrupt_main" and number == signal.SIGTERM:
        hosted.within(one, _thread.interrupt_main, number)  # does nothing where there is no handler
        assert (hosted.stopped, hosted.lines) == ([], [])
        return
    ways = {**send(number), "interrupt_main": lambda: _thread.interrupt_main(number)}
    hosted.within(one, ways[way])
    assert hosted.stopped == ["one"]
    ((name, stream, text),) = hosted.lines
    assert (name, stream) == ("one", "mesh")
    assert text.startswith(f"{number.name}, sent at {__file__}:")
    assert text.endswith(", stops this service only")


def test_a_signal_that_is_ignored_stops_nothing(hosted: Hosted) -> None:
    one = hosted.add("one")
    for number in (signal.SIGTERM, signal.SIGUSR1):
        hosted.within(one, signal.signal, number, signal.SIG_IGN)
        hosted.within(one, signal.raise_signal, number)
    assert (hosted.stopped, hosted.lines) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGALRM, signal.SIGHUP, signal.SIGABRT, signal.SIGSEGV])
def test_a_signal_without_a_handler_is_named_once_and_ignored(number: signal.Signals, hosted: Hosted) -> None:
    one = hosted.add("one")
    for _ in range(2):
        hosted.within(one, send(number)["raise_signal"])
    ((name, _, text),) = hosted.lines
    assert name == "one"
    assert text.startswith(f"{number.name}, sent at {__file__}:")
    assert text.endswith(", was ignored: the service has no handler for it")


def test_a_signal_that_does_nothing_without_a_handler_is_not_named(hosted: Hosted) -> None:
    one = hosted.add("one")
    hosted.within(one, signal.raise_signal, signal.SIGCHLD)
    assert hosted.lines == []


def test_one_from_outside_that_no_service_handles_is_named(hosted: Hosted) -> None:
    hosted.isolation.signals.arrived(signal.SIGUSR2)
    assert hosted.lines == [("mesh", "mesh", "SIGUSR2 was ignored: no service has a handler for it")]


def test_each_service_has_an_alarm(hosted: Hosted) -> None:
    """One is turned off, one rings once, one again and again."""
    services = [hosted.add(name) for name in ("off", "once", "often")]
    rung = {service.name: threading.Semaphore(0) for service in services}
    for service in services:
        ring = rung[service.name]
        hosted.within(service, signal.signal, signal.SIGALRM, lambda *_, ring=ring: ring.release())
    off, once, often = services
    assert hosted.within(off, signal.alarm, 1000) == 0
    assert hosted.within(off, signal.alarm, 0) == 1000
    assert hosted.within(off, signal.getitimer, signal.ITIMER_REAL) == (0.0, 0.0)
    assert hosted.within(once, signal.setitimer, signal.ITIMER_REAL, 0.01) == (0.0, 0.0)
    hosted.within(often, signal.setitimer, signal.ITIMER_REAL, 0.01, 0.01)
    assert rung["once"].acquire(timeout=PATIENCE)
    for _ in range(3):
        assert rung["often"].acquire(timeout=PATIENCE)
    assert hosted.within(once, signal.getitimer, signal.ITIMER_REAL) == (0.0, 0.0)
    assert hosted.within(often, signal.setitimer, signal.ITIMER_REAL, 0)[1] == 0.01
    assert not rung["off"].acquire(blocking=False)
    assert not rung["once"].acquire(blocking=False)
    assert hosted.lines == []


def test_a_timer_of_processor_time_is_refused_beside_other_services(hosted: Hosted) -> None:
    one = hosted.add("one")
    with pytest.raises(signal.ItimerError, match=r'one: the timer at .* isolation = "process"'):
        hosted.within(one, signal.setitimer, signal.ITIMER_PROF, 1.0)


def test_what_is_no_handler_or_no_signal_is_refused_as_ever(hosted: Hosted) -> None:
    one = hosted.add("one")
    for arguments, kind in (((signal.SIGUSR1, "x"), TypeError), ((1000, print), ValueError)):
        with pytest.raises(kind):
            hosted.within(one, signal.signal, *arguments)
    with pytest.raises(OSError, match="Invalid argument"):
        hosted.within(one, signal.signal, signal.SIGKILL, print)
    with pytest.raises(signal.ItimerError):
        hosted.within(one, signal.setitimer, signal.ITIMER_REAL, -1.0)
    hosted.within(one, os.kill, os.getpid(), 0)
    assert hosted.within(one, signal.getsignal, signal.SIGINT) is signal.default_int_handler
