"""Python services that are ready once a path answers or a line has come, as commands are."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, gate, supervised

#: Answers with 503 until the test opens the gate, and with what is in this file.
APP = """\
from tests.support.supervised import gate


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError
    is_open = gate("healthy").is_set() or WORD == "edited"
    if scope["path"] == "/health":
        gate("asked").set()
    await send({"type": "http.response.start", "status": 200 if is_open else 503, "headers": []})
    await send({"type": "http.response.body", "body": WORD.encode()})


WORD = "first"

if __name__ == "__main__":
    import uvicorn
    uvicorn.run(app, port=8000)
"""

DECLARED = """\
[services.slow]
http = { port = 0, app = "app:app" }
ready = "/health"

[services.next]
command = "echo it is up; exec sleep 1000"
depends_on = ["slow"]
"""
RUN = DECLARED.replace('http = { port = 0, app = "app:app" }', 'run = "python app.py"\nhttp = { port = 8000 }')


@pytest.mark.parametrize("toml", [DECLARED, RUN], ids=["declared", "run"])
def test_what_depends_on_it_waits_for_its_health(tmp_path: Path, toml: str) -> None:
    files = {"mesh.toml": toml, "app.py": APP}
    with supervised(tmp_path, files, Options(start_within=PATIENCE), settled=False) as project:
        assert gate("asked").wait(PATIENCE)
        states = {each.name: each.state for each in project.supervisor.snapshot.services}
        assert states == {"slow": "starting", "next": "waiting"}
        gate("healthy").set()
        project.change("slow", "ready")
        project.line("next", "it is up")
        assert project.get("slow", "/").text == "first"


def test_an_edit_that_heals_it_is_loaded_meanwhile(tmp_path: Path) -> None:
    files = {"mesh.toml": DECLARED, "app.py": APP}
    options = Options(start_within=PATIENCE, watch=True)
    with supervised(tmp_path, files, options, settled=False) as project:
        assert gate("asked").wait(PATIENCE)
        (tmp_path / "app.py").write_text(APP.replace('"first"', '"edited"'))
        project.change("slow", "ready")
        assert project.get("slow", "/").text == "edited"


def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    files = {"mesh.toml": DECLARED, "app.py": APP}
    with supervised(tmp_path, files, Options(start_within=PATIENCE), settled=False) as project:
        assert gate("asked").wait(PATIENCE)
    project.change("slow", "stopped")


def test_a_service_that_stays_ill_is_told_and_may_get_well_later(tmp_path: Path) -> None:
    files = {"mesh.toml": DECLARED, "app.py": APP}
    with supervised(tmp_path, files, Options(start_within=1.0), settled=False) as project:
        project.change("slow", "failed", "has not started within 1 s")
        gate("healthy").set()
        project.change("slow", "ready")


#: Prints its line once the test opens the gate.
SAYS = """\
import threading

from tests.support.supervised import gate


async def app(scope, receive, send):
    raise RuntimeError


def say():
    print("warming up")
    gate("warm").wait(60)
    print("\\x1b[32mcaches\\x1b[0m are warm: 12")


threading.Thread(target=say, daemon=True).start()

if __name__ == "__main__":
    import uvicorn
    uvicorn.run(app, port=8000)
"""
LINE = 'ready = "log: caches are warm: [0-9]+"'


@pytest.mark.parametrize("toml", [DECLARED, RUN], ids=["declared", "run"])
def test_what_depends_on_it_waits_for_its_line(tmp_path: Path, toml: str) -> None:
    files = {"mesh.toml": toml.replace('ready = "/health"', LINE), "app.py": SAYS}
    with supervised(tmp_path, files, Options(start_within=PATIENCE), settled=False) as project:
        project.line("slow", "warming up")
        states = {each.name: each.state for each in project.supervisor.snapshot.services}
        assert states == {"slow": "starting", "next": "waiting"}
        gate("warm").set()
        project.change("slow", "ready")
        project.line("next", "it is up")
