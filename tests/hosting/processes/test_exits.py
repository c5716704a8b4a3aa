"""Calls by which one service would end or bend the whole process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mesh.errors import MeshError
from mesh.hosting.load_errors import ServiceImportError

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted, Write


def test_what_is_registered_for_the_exit_runs_at_the_services_stop(hosted: Hosted, write: Write) -> None:
    app = """
        import atexit
        calls = []
        for number in (1, 2):
            atexit.register(calls.append, number)
        @atexit.register
        def never():
            calls.append("never")
        atexit.unregister(never)
    """
    one = hosted.add("one", root=write("one", {"app.py": app}))
    calls = hosted.load(one, "app:calls")
    for hook in reversed(one.stop_hooks):
        hook()
    assert calls == [2, 1]


def test_sys_exit_at_import_is_said_with_its_code(hosted: Hosted, write: Write) -> None:
    one = hosted.add("one", root=write("one", {"app.py": "import sys\nsys.exit(3)"}))
    with pytest.raises(ServiceImportError, match=r"one: one/app.py:2: called sys.exit\(3\) at import") as caught:
        hosted.load(one, "app:app")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("module", "call"), [("gevent.monkey", "patch_all"), ("eventlet", "monkey_patch")])
def test_patching_the_whole_process_is_refused(
    module: str, call: str, hosted: Hosted, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = {
        "gevent/__init__.py": "",
        "gevent/monkey.py": "def patch_all(): raise SystemError",
        "eventlet.py": "def monkey_patch(): raise SystemError",
    }
    monkeypatch.syspath_prepend(write("installed", fake))
    one = hosted.add("one", root=write("one", {"app.py": f"import {module}\n{module}.{call}()"}))
    with pytest.raises(MeshError) as caught:
        hosted.load(one, "app:app")
    assert str(caught.value) == (
        f"one: {module}.{call}() at {one.root}/app.py:2 would change every service of this process; "
        'give this one its own process: isolation = "process"'
    )
    for name in ("gevent", "gevent.monkey", "eventlet"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("end", "status", "text"),
    [
        ("os._exit(5)", 5, "os._exit(5) was called at {}/app.py:3; it ends the whole process, every service with it"),
        ("os.abort()", -6, "os.abort() was called at {}/app.py:3; it ends the whole process, every service with it"),
        (
            "os.kill(os.getpid(), 9)",
            -9,
            "SIGKILL was sent at {}/app.py:3; it ends the whole process, every service with it",
        ),
    ],
)
def test_a_hard_end_names_its_caller_before_it_happens(end: str, status: int, text: str, write: Write) -> None:
    root = write("one", {"app.py": f"import os\ndef leave():\n    {end}\n"})
    code = f"""
import sys
from pathlib import Path
from mesh.service import ServiceContext, current_service_var
from mesh.hosting.isolation import Isolation
with Isolation(lambda *line: None) as isolation:
    service = ServiceContext("one", Path({str(root)!r}))
    service.journal.last_subscribers = (
        lambda line: print(line.service, line.stream, line.text, file=sys.__stdout__, flush=True),
    )
    generation = isolation.add_service(service, {{}}, [service.root])
    current_service_var.set(service)
    generation.load("app:leave")()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert (ended.returncode, ended.stderr) == (status, "")
    assert ended.stdout == f"one mesh {text.format(root)}\n"


def test_get_event_loop_answers_in_a_services_thread(hosted: Hosted, write: Write) -> None:
    one = hosted.add("one", root=write("one", {"app.py": "import asyncio\nloop = asyncio.get_event_loop()"}))
    found: list[Any] = []

    def thread() -> None:
        with asyncio.Runner(loop_factory=hosted.isolation.new_event_loop) as runner:
            asyncio.set_event_loop(runner.get_loop())
            found.append(hosted.load(one, "app:loop") is runner.get_loop())

    service = threading.Thread(target=thread)
    service.start()
    service.join()
    assert found == [True]


@pytest.fixture
def before() -> tuple[object, ...]:
    """The functions before the isolation opens: another isolation's in a run that has the `mesh` fixture open."""
    return signal.signal, os._exit, threading.Thread.start


def test_afterwards_everything_is_as_before(before: tuple[object, ...], hosted: Hosted) -> None:
    patched = signal.signal, os._exit, threading.Thread.start
    assert not set(patched) & set(before)
    hosted.isolation.uninstall()
    assert (signal.signal, os._exit, threading.Thread.start) == before
    hosted.isolation.install()
