"""A service that held up others for a tenth of a second is named with its function, file and line, once per place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from mesh.observing.journal import Hold, Line
from mesh.runtime.diagnostics.holds import Holds, sentence
from tests.support.programs import in_background
from tests.support.supervised import SLOWLY, gate, supervised

APP = """\
from tests.support.supervised import busy, gate


loaded = gate("load")


def load():
    loaded.wait(60)


async def app(scope, receive, send):
    if scope["path"] == "/load":
        load()
    if scope["path"] == "/compute":
        sum(busy(0.5)); gate("noted").wait(60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""
HOLDS = replace(SLOWLY, holds=True)
FILES = {"mesh.toml": '[services.web]\nhttp = { port = 0, app = "app:app" }\n', "app.py": APP}


def test_a_blocked_loop_is_noted_each_time_and_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Holds, "watchdogs", {"loop": 60, "gil": 60})
    with supervised(tmp_path, FILES, HOLDS) as project:
        for _ in range(2):
            seen = len(project.entries)
            with in_background(lambda: project.get("web", "/load")):
                # The watchdog looks less often, so that this one has looked as well by then.
                project.line("web", "event loop blocked for", since=seen)
                gate("load").set()
            hold = project.wait_for(lambda each: isinstance(each, Hold), since=seen)
            gate("load").clear()
            assert (hold.service, hold.what, hold.function) == ("web", "loop", "load")
            assert (hold.file, hold.line) == (str(tmp_path / "app.py"), 8)
            assert hold.milliseconds >= 100
        project.line("web", "load at app.py:8 blocked its event loop for ")
        told = [each for each in project.entries if isinstance(each, Line) and "blocked its event loop" in each.text]
        assert len(told) == 1


def test_a_loop_is_measured_from_the_look_that_first_saw_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the look before that, its thread was in another call, or in code of mesh."""
    clock = iter([10.0, 20.0, 20.5])
    monkeypatch.setattr("mesh.runtime.diagnostics.holds.time", SimpleNamespace(monotonic=lambda: next(clock)))
    noted: list[Hold] = []
    holds: Any = Holds(dict, dict, noted.append, lambda name, text: None)
    answers: list[Callable[[], None]] = []
    loop = SimpleNamespace(call_soon_threadsafe=answers.append)

    def before() -> FrameType:
        return sys._getframe()

    def blocking() -> FrameType:
        return sys._getframe()

    earlier, later = before(), blocking()
    for frame in (earlier, later, later):
        holds._look_at("web", loop, frame)
    (answer,) = answers
    answer()
    holds._look_at("web", loop, None)
    (hold,) = noted
    assert (hold.function.rpartition(".")[2], hold.milliseconds) == ("blocking", 500.0)


@pytest.mark.skipif(sys.platform != "linux", reason="another system does not tell how often a thread waits")
def test_a_thread_that_held_the_gil_is_noted(tmp_path: Path) -> None:
    with supervised(tmp_path, FILES, HOLDS) as project:
        # A thread that goes on at once may be elsewhere when it is looked at.
        with in_background(lambda: project.get("web", "/compute")):
            hold = project.wait_for(lambda each: isinstance(each, Hold) and each.what == "gil")
            gate("noted").set()
        assert (hold.service, hold.function, hold.file, hold.line) == ("web", "app", str(tmp_path / "app.py"), 15)
        assert hold.milliseconds >= 100


def test_a_sentence_says_who_waited() -> None:
    hold = Hold("web", "loop", "load", "/shop/app.py", 6, 312.4)
    assert sentence(hold) == "load at app.py:6 blocked its event loop for 312 ms; other calls to the service waited"
    hold = Hold("web", "gil", "app", "/shop/app.py", 13, 120.0)
    assert sentence(hold) == "app at app.py:13 held the GIL for 120 ms; every service waited"
