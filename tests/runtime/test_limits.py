"""Limits of an HTTP listener: declared, of a program's own server, and changed by an edit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from mesh.topology.declaration.mistakes import TopologyError
from mesh.topology.declaration.reading import read
from tests.support.editing import PATIENCE, Edited, plain, toml
from tests.support.ports import free_row
from tests.support.supervised import gate, supervised

WAITS = """\
import asyncio
from tests.support.supervised import gate

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError
    if scope["path"] == "/slow":
        gate("begun").set()
        while not gate("may end").is_set():
            await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
"""


def test_requests_beyond_those_in_flight_are_refused_until_one_has_ended(tmp_path: Path) -> None:
    table = 'http = { port = 0, app = "app:app", limits = { requests = 1 } }'
    with (
        supervised(tmp_path, {"mesh.toml": toml(few=table), "app.py": WAITS}) as project,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(project.get, "few", "/slow", PATIENCE)
        assert gate("begun").wait(PATIENCE)
        refused = project.get("few", "/")
        assert (refused.status_code, refused.json()["message"]) == (
            503,
            "1 requests are in flight, as many as limits.requests allows",
        )
        gate("may end").set()
        assert slow.result(PATIENCE).text == "done"
        assert project.get("few", "/").text == "done"


def test_sizes_are_as_declared(tmp_path: Path) -> None:
    limits = "{ url_bytes = 100, headers = 20, header_bytes = 65536 }"
    table = f'http = {{ port = 0, app = "app:app", limits = {limits} }}'
    with Edited(tmp_path, {"app.py": plain("'said'"), "mesh.toml": toml(alpha=table)}) as edited:
        session = edited.mesh.http("alpha")
        assert session.get("/", headers={"X-Long": "a" * 60_000}, timeout=PATIENCE).text == "said"
        assert session.get(f"/{'a' * 99}", timeout=PATIENCE).text == "said"
        refused = session.get(f"/{'a' * 100}", timeout=PATIENCE)
        assert (refused.status_code, refused.json()["message"]) == (414, "the request target is longer than 100 bytes")
        many = session.get("/", headers={f"X-{number}": "1" for number in range(20)}, timeout=PATIENCE)
        assert (many.status_code, many.json()["message"]) == (431, "more than 20 headers or 65536 bytes of them")


GUNICORN = """
    import flask

    app = flask.Flask("app")
    app.add_url_rule("/", view_func=lambda: "SAYS")
"""


def test_the_limits_of_a_programs_own_server_are_kept_and_edited(tmp_path: Path) -> None:
    port = free_row(1)
    code = WAITS + f"\nimport uvicorn\nuvicorn.run(app, port={port}, limit_concurrency=LIMIT)\n"
    files = {"server.py": code.replace("LIMIT", "1"), "mesh.toml": toml(talk=f'run = "server.py"\nhttp = {port}')}
    url = f"http://localhost:{port}"
    gate("begun").clear()
    gate("may end").clear()
    with Edited(tmp_path, files) as edited, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(requests.get, f"{url}/slow", timeout=PATIENCE)
        try:
            assert gate("begun").wait(PATIENCE)
            assert requests.get(url, timeout=PATIENCE).status_code == 503
            edited.reload("talk", {"server.py": code.replace("LIMIT", "2")})
            assert requests.get(url, timeout=PATIENCE).text == "done"
        finally:
            gate("may end").set()
        assert slow.result(PATIENCE).text == "done"


def test_gunicorns_limits_are_kept(tmp_path: Path) -> None:
    port = free_row(1)
    run = f"gunicorn -b 127.0.0.1:{port} --limit-request-line 50 app:app"
    files = {"app.py": GUNICORN, "mesh.toml": toml(talk=f'run = "{run}"\nhttp = {port}')}
    with Edited(tmp_path, files) as edited:
        session = edited.mesh.http("talk")
        assert session.get("/", timeout=PATIENCE).text == "SAYS"
        assert session.get(f"/{'a' * 50}", timeout=PATIENCE).status_code == 414


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("{ requests = 0 }", "services.a.http.limits.requests: expected a whole number from 1, not 0"),
        ("{ idle_seconds = -1 }", "services.a.http.limits.idle_seconds: expected a number of seconds from 0, not -1"),
        ("{ url = 1 }", "services.a.http.limits.url: unknown key; known keys: requests, url_bytes, "),
    ],
)
def test_mistakes_are_named(limits: str, said: str, tmp_path: Path) -> None:
    text = toml(a=f'http = {{ port = 0, app = "app:app", limits = {limits} }}')
    with pytest.raises(TopologyError) as caught:
        read(text, tmp_path / "mesh.toml", Path("mesh.toml"))
    assert said in str(caught.value)


def test_a_command_decides_its_limits_itself(tmp_path: Path) -> None:
    text = toml(a='command = "true"\nhttp = { port = 0, limits = { requests = 1 } }')
    with pytest.raises(TopologyError) as caught:
        read(text, tmp_path / "mesh.toml", Path("mesh.toml"))
    assert "services.a.http.limits: not allowed with command, which decides that itself; remove it" in str(caught.value)
