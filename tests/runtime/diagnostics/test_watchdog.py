"""A service that blocks the others is reported with the line of code."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from mesh.observing.journal import Line
from mesh.runtime.diagnostics.watchdog import Watchdog
from tests.support.supervised import ECHO, gate, supervised

BLOCKING = """\
import threading

from tests.support.supervised import gate


def spin():
    while not gate("spin").is_set():
        pass


async def app(scope, receive, send):
    if scope["path"] == "/block":
        gate("block").wait(60)
    if scope["path"] == "/spin":
        threading.Thread(target=spin, name="the spinner").start()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""

FILES = {
    "mesh.toml": """\
        [services.slow]
        root = "slow"
        http = { port = 0, app = "app:app" }

        [services.quick]
        root = "quick"
        http = { port = 0, app = "app:app" }
        """,
    "slow/app.py": BLOCKING,
    "quick/app.py": ECHO,
}


def test_a_loop_that_stands_still_is_named_with_the_line_within_a_second(tmp_path: Path) -> None:
    with supervised(tmp_path, FILES) as project:
        began = time.time()
        asking = threading.Thread(target=project.get, args=("slow", "/block"))
        asking.start()
        line = project.line("slow", "event loop blocked")
        assert f'{tmp_path}/slow/app.py", line 13, in app' in line.text
        assert 'gate("block").wait(60)' in line.text
        assert line.at - began < 2, "a second, and another for a busy machine"
        assert project.get("quick", "/here").text == "/here"
        gate("block").set()
        project.line("slow", "event loop running again")
        asking.join()


def test_a_thread_that_keeps_the_processor_busy_is_named_while_others_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watchdog, "busy_after", 1)
    monkeypatch.setattr(Watchdog, "tick", 0.1)
    monkeypatch.setattr(Watchdog, "of_time", 0.05)  # on a busy machine it gets no more
    with supervised(tmp_path, FILES) as project:
        project.get("slow", "/spin")
        line = project.line("slow", "thread 'the spinner' keeps the processor busy")
        assert f'{tmp_path}/slow/app.py", line 7, in spin' in line.text or "line 8, in spin" in line.text
        assert project.get("quick", "/here").text == "/here"


def test_a_loop_that_is_only_at_work_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watchdog, "tick", 0.01)
    monkeypatch.setattr(Watchdog, "blocked_after", 100)
    with supervised(tmp_path, FILES) as project:
        for _ in range(200):
            project.get("quick", "/")
        # This thread, which asks without a pause, may well be named for keeping the processor busy.
        assert not [each.text for each in project.entries if isinstance(each, Line) and "blocked" in each.text]
