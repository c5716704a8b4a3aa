"""A stop takes no longer than the grace and a moment, whatever a service leaves at work."""

from __future__ import annotations

import contextlib
import textwrap
import threading
from pathlib import Path

import pytest
import requests

from mesh.observing.journal import Change
from mesh.runtime.messages import ServiceCommand, Stop
from mesh.runtime.options import Options
from tests.support.supervised import ECHO, PATIENCE, Project, gate, supervised

TOML = """\
    [services.web]
    http = { port = 0, app = "app:app" }
    """
START = """\
import asyncio
from concurrent.futures import ThreadPoolExecutor

from tests.support.supervised import gate

"""

IN_A_THREAD = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.to_thread(hang)


def hang():
    gate("in").set()
    gate("out").wait(60)
"""
IN_THE_ONLY_THREAD = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        await asyncio.to_thread(hang)


def hang():
    gate("in").set()
    gate("out").wait(60)
"""
IN_A_TASK = """
tasks = []


async def app(scope, receive, send):
    if scope["type"] == "http":
        tasks.append(asyncio.create_task(stay()))
        await tasks[0]


async def stay():
    gate("in").set()
    while not gate("out").is_set():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
"""
GATED = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        gate("in").set()
        while not gate("out").is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
"""
IN_A_HOOK = """
from mesh import current_service


async def hang():
    gate("in").set()
    await asyncio.Event().wait()


current_service().on_stop(hang)


async def app(scope, receive, send):
    if scope["type"] == "http":
        gate("in").set()
        await asyncio.Event().wait()
"""
SAID = {
    "in a thread": (IN_A_THREAD, "stopped without waiting any longer for a thread of its event loop's executor"),
    "in the only thread": (IN_THE_ONLY_THREAD, "stopped without waiting any longer for a thread of its event loop's"),
    "in a task": (IN_A_TASK, "stopped without waiting any longer for a task that continues after being cancelled"),
    "in a hook": (IN_A_HOOK, "while stopping: TimeoutError('hang did not end within 0.2 s')"),
}


@pytest.mark.parametrize("kind", SAID)
def test_what_does_not_end_keeps_no_service_from_stopping(tmp_path: Path, kind: str) -> None:
    code, said = SAID[kind]
    with supervised(tmp_path, {"mesh.toml": TOML, "app.py": START + code}, Options(grace=0.2)) as project:
        asking = threading.Thread(target=hang, args=(project,))
        asking.start()
        assert gate("in").wait(PATIENCE)
        project.supervisor.post(ServiceCommand("web", "stop"))
        project.change("web", "stopped")
        project.line("web", said)
        asking.join(PATIENCE)
        (tmp_path / "app.py").write_text(ECHO)
        project.supervisor.post(ServiceCommand("web", "start"))
        project.change("web", "ready", since=project.entries.index(project.change("web", "stopped")))
        assert project.get("web", "/here").text == "/here"


@pytest.mark.parametrize("stops", ["alone", "all"])
def test_calls_get_the_grace_of_their_service(tmp_path: Path, stops: str) -> None:
    toml = f'{TOML}grace = 0.2\n\n[services.calm]\nhttp = {{ port = 0, app = "app:app" }}\n'
    answers: list[int] = []
    with supervised(tmp_path, {"mesh.toml": toml, "app.py": START + GATED}, Options(grace=PATIENCE)) as project:
        web = threading.Thread(target=lambda: answers.append(project.get("web", "/").status_code))
        calm = threading.Thread(target=lambda: answers.append(project.get("calm", "/").status_code))
        for asking in (web, calm):
            asking.start()
            assert gate("in").wait(PATIENCE)
            gate("in").clear()
        if stops == "alone":
            project.supervisor.post(ServiceCommand("web", "stop"))
        else:
            project.supervisor.post(Stop("requested", 0))
        web.join(PATIENCE)
        assert answers == [503]
        gate("out").set()
        calm.join(PATIENCE)
        assert answers == [503, 200]


@pytest.mark.parametrize("kind", SAID)
def test_what_does_not_end_keeps_no_service_from_restarting(tmp_path: Path, kind: str) -> None:
    with supervised(tmp_path, {"mesh.toml": TOML, "app.py": START + SAID[kind][0]}, Options(grace=0.2)) as project:
        asking = threading.Thread(target=hang, args=(project,))
        asking.start()
        assert gate("in").wait(PATIENCE)
        (tmp_path / "app.py").write_text(ECHO)
        project.supervisor.post(ServiceCommand("web", "restart"))
        project.line("web", "(restart)")
        assert project.get("web", "/here").text == "/here"
        gate("out").set()
    asking.join(PATIENCE)


HOLDS = """\
import asyncio
import ctypes
import re
import time


async def app(scope, receive, send):
    if scope["type"] == "http":
        print("in", flush=True)
        {}
"""
ENDLESS = {
    "a blocked loop": "time.sleep(600)",
    "a C call in the loop": "ctypes.PyDLL(None).sleep(600)",
    "a C call in a thread": "await asyncio.to_thread(ctypes.PyDLL(None).sleep, 600)",
    "a regular expression": 're.match("(a+)+$", "a" * 60 + "b")',
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_no_call_keeps_a_process_of_its_own_from_stopping(tmp_path: Path, kind: str) -> None:
    """Holding the GIL for ever stops whatever Python runs in that process."""
    declared = textwrap.dedent(TOML).rstrip() + '\nisolation = "process"\n'
    options = Options(grace=0.2, start_within=PATIENCE)
    with supervised(tmp_path, {"mesh.toml": declared, "app.py": HOLDS.format(ENDLESS[kind])}, options) as project:
        asking = threading.Thread(target=hang, args=(project,))
        asking.start()
        project.line("web", "in")
        project.supervisor.post(ServiceCommand("web", "stop"))
        project.change("web", "stopped")
        assert project.supervisor.snapshot["web"].state == "stopped"
        asking.join(PATIENCE)
        (tmp_path / "app.py").write_text(ECHO)
        project.supervisor.post(ServiceCommand("web", "start"))
        project.change("web", "ready", since=project.entries.index(project.change("web", "stopped")))
        assert project.get("web", "/here").text == "/here"


BLOCKING = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        gate("in").set()
        gate("out").wait(60)
"""


def test_a_service_that_blocks_its_loop_is_reported_and_starts_once_it_has_ended(tmp_path: Path) -> None:
    files = {"mesh.toml": TOML, "app.py": START + BLOCKING}
    with supervised(tmp_path, files, Options(grace=0.2, start_within=PATIENCE)) as project:
        asking = threading.Thread(target=hang, args=(project,))
        asking.start()
        assert gate("in").wait(PATIENCE)
        project.supervisor.post(ServiceCommand("web", "stop"))
        project.change("web", "failed", "has not stopped yet: its code does not end")
        assert f'{tmp_path}/app.py", line 10, in app' in project.line("web", 'gate("out").wait(60)').text
        (tmp_path / "app.py").write_text(ECHO)
        since = len(project.entries)
        project.supervisor.post(ServiceCommand("web", "start"))
        gate("out").set()
        project.change("web", "ready", since=since)
        assert project.get("web", "/here").text == "/here"
        assert [each.state for each in project.entries[since:] if isinstance(each, Change)] == [
            "stopped",
            "starting",
            "ready",
        ]
        asking.join(PATIENCE)


def hang(project: Project) -> None:
    with contextlib.suppress(requests.RequestException):
        project.get("web", "/for-ever")
