"""One object installs everything, and leaves nothing behind."""

from __future__ import annotations

import builtins
import concurrent.futures
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mesh.hosting.import_hooks import ImportHooks
from mesh.hosting.isolation import Isolation
from mesh.service import ServiceContext, current_service_var

OWNERS = [os, os.environ, sys, socket, signal, subprocess.Popen, threading.Thread, logging, logging.Logger]
OWNERS += [logging.Manager, concurrent.futures.ThreadPoolExecutor]


def test_closing_puts_every_global_back() -> None:
    def state() -> list[object]:
        return [dict(vars(owner)) for owner in OWNERS] + [list(sys.meta_path)]

    before = state()
    with Isolation(lambda *line: None):
        assert state() != before
    assert state() == before


def test_opening_imports_nothing() -> None:
    code = """
import sys, mesh.hosting.isolation
before = set(sys.modules)
with mesh.hosting.isolation.Isolation(print):
    pass
print(sorted(set(sys.modules) - before), "grpc" in sys.modules, "a2wsgi" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (ran.stdout.split("]")[0], ran.stderr) == ("[", "")


def test_what_another_has_replaced_since_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with Isolation(lambda *line: None):
        monkeypatch.setattr(os, "_exit", print)
    assert os._exit is print


def test_two_hundred_generations_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import logging, os\nlogging.basicConfig()\nos.environ['X'] = '1'\nprint('x', end='')"
    )
    lines: list[tuple[str, ...]] = []
    others = set(threading.enumerate())  # Of earlier tests; some are on their way out.
    with Isolation(lambda *line: lines.append(line)) as isolation:
        sizes = []
        for _ in range(200):
            service = ServiceContext("one", tmp_path)
            generation = isolation.add_service(service, {}, [tmp_path])
            token = current_service_var.set(service)
            generation.load("app:logging")
            current_service_var.reset(token)
            isolation.remove_service(service, generation)
            threads = set(threading.enumerate()) - others
            sizes.append((len(sys.modules), len(sys.meta_path), len(vars(logging)["_handlerList"]), len(threads)))
        assert sizes[10] == sizes[-1]
        assert all(not held for part in isolation._patches for held in _rooms(part))


def _rooms(part: object) -> list[object]:
    """Whatever a part keeps by the identity of a generation."""
    held = []
    for value in vars(part).values():
        values = [value, *(value.values() if isinstance(value, dict) else ())]
        held += [getattr(each, "rooms", None) or getattr(each, "own", None) for each in values]
        held += [value] if isinstance(value, dict) and all(isinstance(key, int) for key in value) else []
    return held


def test_an_arrival_is_told_once_and_the_module_keeps_its_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_guest.py").write_text("from importlib import resources\nready = 1")
    (tmp_path / "broken_guest.py").write_text("raise ValueError('no')")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_hooks, told = ImportHooks(), []
    import_hooks.install()
    try:
        for name in ("late_guest", "broken_guest", "no_such_guest", "json"):
            import_hooks.on_import(name, lambda module: told.append(module.__name__))
        assert told == ["json"]
        import late_guest  # type: ignore[import-not-found]

        assert told == ["json", "late_guest"]
        assert type(late_guest.__loader__).__name__ == "SourceFileLoader"
        assert late_guest.__spec__.loader is late_guest.__loader__
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                __import__("broken_guest")
        with pytest.raises(ModuleNotFoundError):
            __import__("no_such_guest")
        (tmp_path / "broken_guest.py").write_text("recovered = True")
        __import__("broken_guest")
        assert told == ["json", "late_guest", "broken_guest"]
    finally:
        import_hooks.uninstall()
        for name in ("late_guest", "broken_guest"):
            sys.modules.pop(name, None)


def test_a_module_that_another_thread_is_executing_arrives_when_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_guest.py").write_text("import builtins\nbuiltins.enter.set()\nbuiltins.go.wait(30)\nready = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    enter, go, told = threading.Event(), threading.Event(), []
    monkeypatch.setattr(builtins, "enter", enter, raising=False)
    monkeypatch.setattr(builtins, "go", go, raising=False)
    importing = threading.Thread(target=__import__, args=("slow_guest",))
    importing.start()
    assert enter.wait(30)
    asking = threading.Thread(
        target=ImportHooks().on_import, args=("slow_guest", lambda module: told.append(module.ready))
    )
    asking.start()
    asking.join(0.2)  # it waits; a moment to see it go on too early
    go.set()
    for each in (importing, asking):
        each.join(30)
    sys.modules.pop("slow_guest")
    assert told == [1]
