"""A pool whose threads are all busy is named once, with the service and the line."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import requests

from mesh.observing.journal import Line
from mesh.runtime.diagnostics.watchdog import Watchdog
from tests.support.supervised import PATIENCE, Project, gate, supervised

FASTAPI = """\
import anyio.to_thread
import fastapi
from tests.support.supervised import gate

app = fastapi.FastAPI()


@app.get("/few")
async def few():
    anyio.to_thread.current_default_thread_limiter().total_tokens = 2


@app.get("/wait")
def wait():
    gate("open").wait(60)
"""

TO_THREAD = """\
import asyncio
from concurrent.futures import ThreadPoolExecutor

from tests.support.supervised import gate


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/few":
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    else:
        await wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def wait():
    await asyncio.to_thread(gate("open").wait, 60)
"""


@pytest.mark.parametrize(
    ("app", "place"), [(FASTAPI, "line 15, in wait"), (TO_THREAD, "line 19, in wait")], ids=["fastapi", "to_thread"]
)
def test_a_pool_without_a_free_thread_is_named_once(
    tmp_path: Path, app: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watchdog, "tick", 0.02)
    files = {"mesh.toml": '[services.web]\nhttp = { port = 0, app = "app:app" }\n', "app.py": app}
    with supervised(tmp_path, files) as project:
        ask(project, "/few")
        asking = [threading.Thread(target=ask, args=(project, "/wait")) for _ in range(5)]
        for each in asking:
            each.start()
        text = project.line("web", "all 2 threads of a pool are busy, and GET /wait waits").text
        assert "the oldest call, GET /wait, is at" in text
        assert f'{tmp_path}/app.py", {place}' in text
        gate("open").set()
        for each in asking:
            each.join(PATIENCE)
        assert len([each for each in project.entries if isinstance(each, Line) and "are busy" in each.text]) == 1


def ask(project: Project, path: str) -> None:
    """GET with a separate session, as the callers of one service have."""
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(f"http://{project.supervisor.directory.address('web', 'http')}{path}").status_code == 200
