"""A call that does not end is named with the service's own line, in whatever thread a framework runs it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
import requests

from mesh.runtime.messages import Stop
from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, Project, gate, supervised

HANG = """
from tests.support.supervised import gate


def hang(name):
    gate(f"in {name}").set()
    gate("out").wait(60)
    return name
"""
APPS = {
    "fastapi": """\
        import fastapi
        from hang import hang

        app = fastapi.FastAPI()


        @app.get("/")
        def page():
            return hang("fastapi")
        """,
    "starlette": """\
        from hang import hang
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route


        def page(request):
            return PlainTextResponse(hang("starlette"))


        app = Starlette(routes=[Route("/", page)])
        """,
    "flask": """\
        import flask
        from hang import hang

        app = flask.Flask("web")


        @app.get("/")
        def page():
            return hang("flask")
        """,
    "to-thread": """\
        import asyncio

        from hang import hang


        async def app(scope, receive, send):
            if scope["type"] == "http":
                await page()


        async def page():
            await asyncio.to_thread(hang, "to-thread")
        """,
}
LINES = {"fastapi": 9, "starlette": 8, "flask": 9, "to-thread": 12}


def project_files() -> dict[str, str]:
    toml = "".join(f'[services.{name}]\nroot = "{name}"\nhttp = {{ port = 0, app = "app:app" }}\n' for name in APPS)
    apps = {f"{name}/app.py": text for name, text in APPS.items()}
    return {"mesh.toml": toml, **apps, **{f"{name}/hang.py": HANG for name in APPS}}


def test_a_call_that_a_framework_runs_in_a_pool_is_named_at_the_stop_and_does_not_hold_it_up(tmp_path: Path) -> None:
    pytest.importorskip("fastapi"), pytest.importorskip("flask")
    with supervised(tmp_path, project_files(), Options(grace=0.2)) as project:
        asking = [threading.Thread(target=ask, args=(project, name)) for name in APPS]
        for each in asking:
            each.start()
        for name in APPS:
            assert gate(f"in {name}").wait(PATIENCE), name
        project.supervisor.post(Stop("requested", 0))
        project.change("mesh", "stopped")
        for name, line in LINES.items():
            text = project.line(name, "GET / did not end within 0.2 s").text
            assert f'{name}/app.py", line {line}, in page' in text
            assert f'{name}/hang.py", line 7, in hang' in text
        gate("out").set()
        for each in asking:
            each.join(PATIENCE)


def ask(project: Project, name: str) -> None:
    """GET with a separate session, as the callers of one service have."""
    with requests.Session() as session, contextlib.suppress(requests.RequestException):
        session.trust_env = False
        session.get(f"http://{project.supervisor.directory.address(name, 'http')}/")
