"""Two services that import the same shared module at once."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted, Write

PACKAGE = """
    class NotEnabled(Exception):
        pass

    def setup():
        try:
            from together.optional import Part
        except NotEnabled:
            return "without"
        return Part
"""
OPTIONAL = """
    import os
    import gate
    from together import NotEnabled

    gate.enter()
    if "PART" not in os.environ:
        raise NotEnabled
    Part = "with"
"""
GATE = "enter = lambda: None"


@pytest.mark.parametrize(("env", "expected"), [({}, "without"), ({"PART": "yes"}, "with")])
def test_a_service_meets_no_module_that_has_failed_for_another(
    hosted: Hosted, write: Write, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], expected: str
) -> None:
    """The service gets what it would get alone, while CPython gives it a module in which names are missing."""
    installed = write("installed", {"together/__init__.py": PACKAGE, "together/optional.py": OPTIONAL, "gate.py": GATE})
    monkeypatch.syspath_prepend(str(installed))
    for name in ("together", "together.optional", "gate"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    first = hosted.add("first", root=write("first", {"app.py": "from together import setup"}))
    second = hosted.add("second", env, write("second", {"app.py": "from together import setup"}))
    setups = [(each, hosted.load(each, "app:setup")) for each in (first, second)]
    found: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda each=each, setup=setup: found.update({each.name: hosted.within(each, setup)}))
        for each, setup in setups
    ]
    gate = importlib.import_module("gate")

    def start_second_and_await_it() -> None:
        monkeypatch.setattr(gate, "enter", lambda: None)
        threads[1].start()
        _await_a_lock(threads[1])

    monkeypatch.setattr(gate, "enter", start_second_and_await_it)
    threads[0].start()
    for thread in threads:
        thread.join(30)
    assert found == {"first": "without", "second": expected}


def _await_a_lock(thread: threading.Thread) -> None:
    """Wait until the thread waits for a module that another thread imports."""
    while True:
        frame = sys._current_frames().get(thread.ident or 0)
        if frame is not None and frame.f_code.co_name == "acquire" and "importlib" in frame.f_code.co_filename:
            return
        time.sleep(0.001)
