"""`mesh up` and an editor: every way in which files come to be other ones, against every kind of service."""

from __future__ import annotations

import http.client
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from websockets.sync.client import connect

from tests.support.editing import LIVE, plain
from tests.support.programs import PATIENCE, Shell, Up, get
from tests.support.raw_calls import unary

TOML = """
[mesh]
protos = ["proto"]

[services.flask]
root = "flask_service"
http = {port = 0, app = "app:app"}

[services.starlette]
root = "starlette_service"
http = {port = 0, app = "app:app"}

[services.fastapi]
root = "fastapi_service"
http = {port = 0, app = "app:app"}

[services.sync]
root = "sync_service"
grpc = {port = 0, servicers = ["app:Talk"]}

[services.async]
root = "async_service"
grpc = {port = 0, servicers = ["app:Talk"]}
"""
PROTO = """
syntax = "proto3";
service Talk { rpc Say(Word) returns (Word); }
message Word { string text = 1; }
"""
FLASK = """
    from flask import Flask
    from word import WORD
    app = Flask(__name__)

    @app.get("/")
    def index():
        return WORD
"""
STARLETTE = """
    import asyncio
    from pathlib import Path
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute
    from word import WORD

    async def events(request):
        async def told():
            yield f"data: {WORD}\\n\\n"
            while not Path("end").exists():
                await asyncio.sleep(0.01)
            yield f"data: {WORD}\\n\\n"
        return StreamingResponse(told(), media_type="text/event-stream")

    async def echo(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(f"{WORD} {text}")

    app = Starlette(routes=[
        Route("/", lambda request: PlainTextResponse(WORD)), Route("/events", events), WebSocketRoute("/echo", echo),
    ])
"""
FASTAPI = """
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse
    from word import WORD
    app = FastAPI()

    @app.get("/", response_class=PlainTextResponse)
    def index() -> str:
        return WORD
"""
SYNC = """
    import talk_pb2, talk_pb2_grpc
    from word import WORD

    class Talk(talk_pb2_grpc.TalkServicer):
        def Say(self, request, context):
            return talk_pb2.Word(text=WORD)
"""
CODE = {
    "flask": FLASK,
    "starlette": STARLETTE,
    "fastapi": FASTAPI,
    "sync": SYNC,
    "async": SYNC.replace("def Say", "async def Say"),
}


class Live:
    """A mesh that runs, and what an editor does to its files."""

    def __init__(self, shell: Shell, mesh: Up) -> None:
        self.folder = shell.folder
        self.mesh = mesh
        #: The lines of which `reloads` was last asked.
        self.told: list[str] = []

    def file(self, service: str, name: str = "word.py") -> Path:
        return self.folder / f"{service}_service" / name

    def says(self, service: str) -> str:
        if service in ("sync", "async"):
            with grpc.insecure_channel(self.mesh.grpc(service), [("grpc.enable_http_proxy", 0)]) as channel:
                answer = unary(channel, "/Talk/Say")(b"", timeout=PATIENCE)
            return answer[2:].decode()
        return get(self.mesh.http(service)).text

    def reloads(self, *services: str) -> int:
        """Return how often these were loaded again so far."""
        live = [each for each in self.mesh.events() if LIVE.match(each.get("text", ""))]
        self.told = [each["text"] for each in live if each["service"] in services]
        return len(self.told)

    def becomes(self, service: str, word: str) -> None:
        """Wait for the answer: a file that is written in two steps may be loaded, and said to be live, twice."""
        self.mesh.wait_for(lambda: self.says(service) == word)

    def is_kept(self, service: str, why: str) -> None:
        """Wait until mesh says that the previous code still serves, and why."""

        def reason() -> bool:
            states = [each for each in self.mesh.events() if each["event"] == "change" and each["service"] == service]
            return why in str(states[-1]["reason"]) and "still serving the previous code" in str(states[-1]["reason"])

        self.mesh.wait_for(reason)


@pytest.fixture
def live(shell: Shell) -> Live:
    shell.write({"mesh.toml": TOML, "proto/talk.proto": PROTO})
    for service, code in CODE.items():
        shell.write({f"{service}_service/app.py": code, f"{service}_service/word.py": "WORD = 'first'"})
    mesh = shell.up()
    assert {each["state"] for each in mesh.ready()["services"]} == {"ready"}, mesh.text()
    return Live(shell, mesh)


def test_whatever_an_editor_does_is_live_in_every_kind_of_service(live: Live) -> None:
    for service in CODE:
        sequence(live, service)
    states = [each for each in live.mesh.events() if each["event"] == "change" and each["service"] in CODE]
    assert {each["state"] for each in states} <= {"starting", "ready"}


def sequence(live: Live, service: str) -> None:
    """Write, atomic rename, mistake, repair, delete, revert."""
    file = live.file(service)
    before = file.read_text()

    def replace(text: str) -> None:
        (file.parent / ".word.py.swp").write_text("an editor's own")
        (file.parent / "word.py~").write_text(before)
        (file.parent / "word.tmp").write_text(text)
        os.replace(file.parent / "word.tmp", file)

    file.write_text("WORD = 'written'")
    live.becomes(service, "written")
    live.mesh.wait_for(lambda: live.reloads(service) and "(word.py; " in live.told[-1])
    replace("WORD = 'renamed'")
    live.becomes(service, "renamed")
    file.write_text("WORD = (")
    live.is_kept(service, "word.py:1: SyntaxError")
    assert live.says(service) == "renamed"
    file.write_text("WORD = 'mended'")
    live.becomes(service, "mended")
    file.unlink()
    live.is_kept(service, "No module named 'word'")
    assert live.says(service) == "mended"
    replace(before)
    live.becomes(service, "first")


def test_another_branch_of_many_files_is_one_or_two_reloads_of_what_imports_them(live: Live) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *who, *words], cwd=live.folder, check=True, capture_output=True)

    unread = [live.folder / "flask_service" / "parts" / f"part{number}.py" for number in range(200)]
    branches = {"one": ("flask", "sync"), "other": ("starlette", "fastapi", "async")}
    (live.folder / ".gitignore").write_text(".mesh\n__pycache__\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    for branch, services in branches.items():
        git("checkout", "-b", branch, "main")
        for file in [*map(live.file, services), *unread]:
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"WORD = '{branch}'\n")
        git("add", ".")
        git("commit", "-m", branch)
        for service in services:
            live.becomes(service, branch)
        for target, word in (("main", "first"), (branch, branch), ("main", "first")):
            before = {service: live.reloads(service) for service in CODE}
            git("checkout", target)
            for service in services:
                live.becomes(service, word)
            assert unread[0].exists() == (target == branch)
            made = {service: live.reloads(service) - before[service] for service in CODE}
            # One that was under way is told after the answer that ended the wait for it.
            assert max(made.values()) <= 3
        if branch == "one":
            assert live.reloads(*branches["other"]) == 0


def test_an_open_stream_and_websocket_end_on_the_code_they_began_with(live: Live) -> None:
    url = urlsplit(live.mesh.http("starlette"))
    kept = http.client.HTTPConnection(str(url.hostname), url.port, timeout=PATIENCE)
    kept.request("GET", "/")
    assert kept.getresponse().read() == b"first"
    socket = kept.sock
    with (
        get(f"{url.geturl()}/events", stream=True) as events,
        connect(f"ws://{url.netloc}/echo", proxy=None) as websocket,
    ):
        lines = (line for line in events.iter_lines() if line)
        assert next(lines) == b"data: first"
        websocket.send("hello")
        assert websocket.recv(PATIENCE) == "first hello"
        live.file("starlette").write_text("WORD = 'second'")
        live.becomes("starlette", "second")
        websocket.send("again")
        assert websocket.recv(PATIENCE) == "first again"
        kept.request("GET", "/")
        assert kept.getresponse().read() == b"second"
        assert kept.sock is socket
        live.file("starlette", "end").touch()
        assert list(lines) == [b"data: first"]
    kept.close()


def test_a_new_folder_with_code_is_watched_from_then_on(live: Live) -> None:
    def make(word: str) -> None:
        live.file("flask", "more/deep").mkdir(parents=True, exist_ok=True)
        live.file("flask", "more/deep/inner.py").write_text(f"WORD = '{word}'")

    make("new")
    live.file("flask").write_text("from more.deep.inner import WORD")
    live.becomes("flask", "new")
    make("newer")
    live.becomes("flask", "newer")


def test_a_module_that_declares_the_topology_is_read_again_as_a_mesh_toml_is(shell: Shell) -> None:
    def declared(*services: str) -> dict[str, str]:
        made = ", ".join(f"Service('{each}', http=Http((0,), app='{each}:app'))" for each in services)
        return {"topology.py": f"from mesh import Http, Service, Topology\nfound = Topology('two', {made})"}

    shell.write({**declared("one"), "one.py": plain("1"), "two.py": plain("2")})
    mesh = shell.up("topology:found")
    mesh.ready()
    shell.write(declared("one", "two"))

    def states(service: str) -> list[str]:
        return [e["state"] for e in mesh.events() if e["event"] == "change" and e["service"] == service]

    mesh.wait_for(lambda: states("two")[-1:] == ["ready"])
    assert get(mesh.http("one")).text == "1"
    shell.write(declared("two"))
    mesh.wait_for(lambda: states("one")[-1:] == ["stopped"])
    shell.write({"topology.py": "found = ("})
    mesh.wait_for(lambda: any("topology.py:1: SyntaxError" in each.get("text", "") for each in mesh.events()))
    assert states("one") == ["starting", "ready", "stopping", "stopped"]
    assert states("two") == ["starting", "ready"]


def test_no_reload_leaves_the_code_as_it_was(shell: Shell) -> None:
    shell.write({"mesh.toml": '[services.one]\nhttp = {port = 0, app = "one:app"}', "one.py": plain("1")})
    mesh = shell.up("--no-reload")
    mesh.ready()
    shell.write({"one.py": plain("2")})
    assert get(mesh.http("one")).text == "1"
    assert not [each for each in mesh.events() if LIVE.match(each.get("text", ""))]
