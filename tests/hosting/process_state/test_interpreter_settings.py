"""Settings that the interpreter has once are named when a service changes them."""

from __future__ import annotations

import asyncio
import gc
import locale
import resource
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from mesh.hosting.isolation import Isolation

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted

CORE = resource.getrlimit(resource.RLIMIT_CORE)


@pytest.mark.parametrize(
    ("change", "name", "undo"),
    [
        (lambda: socket.setdefaulttimeout(33), "socket.setdefaulttimeout(33)", lambda: socket.setdefaulttimeout(None)),
        (lambda: sys.setrecursionlimit(1003), "sys.setrecursionlimit(1003)", lambda: sys.setrecursionlimit(1000)),
        (lambda: sys.setswitchinterval(0.01), "sys.setswitchinterval(0.01)", lambda: sys.setswitchinterval(0.005)),
        (lambda: gc.disable(), "gc.disable()", gc.enable),
        (
            lambda: resource.setrlimit(resource.RLIMIT_CORE, CORE),
            f"resource.setrlimit({resource.RLIMIT_CORE}, {CORE})",
            None,
        ),
        (lambda: asyncio.set_event_loop_policy(None), "asyncio.set_event_loop_policy(None)", None),
        (lambda: time.tzset(), "time.tzset()", None),
        (lambda: locale.setlocale(locale.LC_CTYPE, "C"), f"locale.setlocale({locale.LC_CTYPE}, 'C')", None),
    ],
)
def test_a_setting_for_all_is_named_once_with_its_service_and_line(
    hosted: Hosted, change: Callable[[], object], name: str, undo: Callable[[], object] | None
) -> None:
    before = locale.setlocale(locale.LC_CTYPE)
    one = hosted.add("one")
    try:
        hosted.within(one, change)
        hosted.within(one, change)
    finally:
        undo() if undo else locale.setlocale(locale.LC_CTYPE, before)
    ((service, stream, text),) = hosted.lines
    assert (service, stream) == ("one", "mesh")
    assert text.startswith(f"{name} at {__file__}:")
    assert text.endswith('is for every service of this process; isolation = "process" gives this one its own')


def test_asking_is_not_changing(hosted: Hosted) -> None:
    hosted.within(hosted.add("one"), locale.setlocale, locale.LC_CTYPE)
    assert hosted.lines == []


def test_outside_a_service_nothing_is_said(hosted: Hosted) -> None:
    socket.setdefaulttimeout(None)
    assert hosted.lines == []


def test_a_service_that_is_alone_may_set_what_it_likes() -> None:
    before = socket.setdefaulttimeout
    with Isolation(lambda *line: None, alone=True):
        assert socket.setdefaulttimeout is before
    with Isolation(lambda *line: None):
        assert socket.setdefaulttimeout is not before
    assert socket.setdefaulttimeout is before
