"""Programs of services whose uvicorn or Werkzeug is older than what mesh itself is tested with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, supervised
from tests.support.virtualenvs import install, make_virtualenv

APP = """\
import asyncio, uvicorn

started = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        started.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})
        return
    body = f"{uvicorn.__version__} {started} {type(asyncio.get_running_loop()).__module__}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

if __name__ == "__main__":
    uvicorn.run(app, port=8000)
"""


@pytest.mark.parametrize("version", ["0.15.0", "0.35.0"])
def test_a_uvicorn_without_loop_factories_serves(tmp_path: Path, version: str) -> None:
    make_virtualenv(tmp_path / ".venv")
    install(tmp_path / ".venv", f"uvicorn=={version}", "uvloop")
    toml = """\
        [services.typed]
        run = "uvicorn app:app --port 8000"
        http = { port = 8000 }

        [services.called]
        run = "python app.py"
        http = { port = 8001, aliases = ["called:8000"] }
        """
    before = asyncio.get_event_loop_policy()
    with supervised(tmp_path, {"mesh.toml": toml, "app.py": APP}, Options(start_within=PATIENCE)) as project:
        for name in ("typed", "called"):
            found, _, loop = project.get(name, "/").text.rpartition(" ")
            assert found == f"{version} ['lifespan.startup']"
            assert loop.startswith(("asyncio", "mesh.", "uvloop"))
    assert asyncio.get_event_loop_policy() is before


FLASK = """\
import flask, werkzeug.debug
from importlib.metadata import version

app = flask.Flask(__name__)
debuggers = set()

class Debugger(werkzeug.debug.DebuggedApplication):
    def __init__(self, app, *args, **options):
        debuggers.add(version("werkzeug"))
        super().__init__(app, *args, **options)

werkzeug.debug.DebuggedApplication = Debugger

@app.route("/")
def index():
    return f"{version('flask')} {debuggers}"

@app.route("/broken")
def broken():
    raise ValueError("broken here")

if __name__ == "__main__":
    app.run(debug=True, port=8001)
"""


@pytest.mark.parametrize(("flask", "werkzeug"), [("2.0.3", "2.0.3"), ("2.3.3", "2.3.8")])
def test_a_flask_whose_debugger_trusts_every_host_serves(tmp_path: Path, flask: str, werkzeug: str) -> None:
    make_virtualenv(tmp_path / ".venv")
    install(tmp_path / ".venv", f"flask=={flask}", f"werkzeug=={werkzeug}", "click==8.1.3")
    toml = """\
        [services.typed]
        run = "flask run --port 8000"
        http = { port = 8000 }
        env = { FLASK_APP = "app.py", FLASK_ENV = "development", FLASK_DEBUG = "1" }

        [services.called]
        run = "python app.py"
        http = { port = 8001 }
        """
    with supervised(tmp_path, {"mesh.toml": toml, "app.py": FLASK}, Options(start_within=PATIENCE)) as project:
        for name in ("typed", "called"):
            assert project.get(name, "/").text == f"{flask} {{'{werkzeug}'}}"
            broken = project.get(name, "/broken")
            assert broken.status_code == 500
            assert "Werkzeug Debugger" in broken.text
