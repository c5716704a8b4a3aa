"""A changed mesh.toml, services in processes of their own, and --replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import requests

from mesh.observing.journal import Change, Entry, Line
from tests.support.editing import Edited, is_live, plain, toml

APP = 'http = {{port = 0, app = "{}:app"}}'


def is_change(service: str, state: str) -> Callable[[Entry], bool]:
    return lambda entry: isinstance(entry, Change) and (entry.service, entry.state) == (service, state)


def test_a_changed_declaration_starts_stops_and_restarts_what_it_concerns(tmp_path: Path) -> None:
    files = {f"{name}.py": plain(f"os.environ.get('WORD', '{name}')", "import os") for name in ("a", "b", "c", "d")}
    before = toml(a=APP.format("a"), b=APP.format("b"), c=APP.format("c"))
    after = toml(a=APP.format("a"), b=APP.format("b") + '\nenv = {WORD = "new"}', d=APP.format("d"))
    with Edited(tmp_path, {**files, "mesh.toml": before}) as edited:
        ports = {name: edited.mesh.address(f"{name}.http").port for name in ("a", "b")}
        wanted = [is_change("b", "ready"), is_change("c", "stopped"), is_change("d", "ready")]
        with edited.awaiting(lambda e: any(each(e) for each in wanted), 3):
            edited.save({"mesh.toml": after})
        assert {name: edited.mesh.address(f"{name}.http").port for name in ("a", "b")} == ports
        assert [edited.get(name) for name in ("a", "b", "d")] == ["a", "new", "d"]
        assert not [text for text in edited.lines("a") if "stop" in text]
        states = [e for e in edited.supervisor.journal.entries() if isinstance(e, Change) and e.service == "a"]
        assert [each.state for each in states] == ["starting", "ready"]
        edited.reload("d", {"d.py": plain("'d2'")})
        assert edited.get("d") == "d2"
        assert [each.name for each in edited.supervisor.snapshot.services] == ["a", "b", "d"]


HANGING = """
    import asyncio

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            await asyncio.Event().wait()
"""


def test_a_stop_while_a_service_that_is_no_longer_declared_is_stopping_ends_all_the_same(tmp_path: Path) -> None:
    files = {"a.py": plain("1"), "c.py": HANGING, "mesh.toml": toml(a=APP.format("a"), c=APP.format("c"))}
    with Edited(tmp_path, files, grace=0.3) as edited:
        url = f"http://{edited.mesh.address('c.http')}/"
        with requests.get(url, stream=True, timeout=30, proxies={"http": ""}):
            with edited.awaiting(is_change("c", "stopping")):
                edited.save({"mesh.toml": toml(a=APP.format("a"))})
            edited.supervisor.stop()
    assert edited.supervisor.snapshot.phase == "stopped"


def test_a_declaration_with_a_mistake_is_named_and_changes_nothing(tmp_path: Path) -> None:
    with Edited(tmp_path, {"mesh.toml": toml(a=APP.format("a")), "a.py": plain("1")}) as edited:
        with edited.awaiting(lambda entry: isinstance(entry, Line) and "mesh.toml" in entry.text) as found:
            edited.save({"mesh.toml": "[services.a]\nhttp = {port = 0, ap = 1}"})
        assert "ap" in found[0].text
        with edited.awaiting(lambda entry: is_live(entry, "a")):
            edited.save({"a.py": plain("2"), "mesh.toml": "[services.a\n"})
        assert edited.get("a") == "2"


def test_a_service_in_a_process_of_its_own_loads_what_changed_behind_its_port(tmp_path: Path) -> None:
    files = {"mesh.toml": toml(a=APP.format("a") + '\nisolation = "process"'), "a.py": plain("1")}
    with Edited(tmp_path, files, watch=True) as edited:
        assert edited.get("a") == "1"
        with edited.awaiting(lambda entry: is_live(entry, "a")):
            edited.write({"a.py": plain("2")})
        assert edited.get("a") == "2"


COMMAND = """
    import http.server, os, pathlib

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(TEXT)

    TEXT = pathlib.Path("text.txt").read_bytes()
    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_a_command_is_restarted_where_watch_names_the_file_and_it_is_said(tmp_path: Path) -> None:
    import sys

    own = f"command = \"'{sys.executable}' serve.py\"\nwatch = ['*.txt']\nhttp = {{port = 0}}"
    files = {"mesh.toml": toml(a=own), "serve.py": COMMAND, "text.txt": "old"}
    with Edited(tmp_path, files) as edited:
        assert edited.get("a") == "old"
        assert edited.reload("a", {"text.txt": "new"}).startswith("restarted in ")
        assert edited.get("a") == "new"


def test_replay_asks_the_last_get_again_and_tells_the_difference(tmp_path: Path) -> None:
    files = {"mesh.toml": toml(a=APP.format("a")), "a.py": plain("""'{"name": "Ada", "age": 36}'""")}
    with Edited(tmp_path, files, replay=True) as edited:
        edited.get("a", "/who?x=1")
        with edited.awaiting(lambda entry: isinstance(entry, Line) and "replayed" in entry.text) as found:
            edited.save({"a.py": plain("""'{"name": "Bob", "age": 36}'""")})
        first, *rest = found[0].text.split("\n")
        assert first.startswith("replayed GET /who?x=1: 200 -> 200, ")
        assert first.endswith(" ms, different answer:")
        assert rest == ['  name: "Ada" -> "Bob"']


def test_replay_asks_the_last_read_over_grpc_again(tmp_path: Path) -> None:
    proto = """
        syntax = "proto3";
        service Talk {
          rpc Say(Word) returns (Word) { option idempotency_level = NO_SIDE_EFFECTS; }
          rpc Store(Word) returns (Word);
        }
        message Word { string text = 1; }
    """
    code = """
        import talk_pb2, talk_pb2_grpc
        class Talk(talk_pb2_grpc.TalkServicer):
            def Say(self, request, context):
                return talk_pb2.Word(text=request.text + "{}")
            Store = Say
    """
    files = {
        "mesh.toml": '[mesh]\nprotos = ["proto"]\n' + toml(a='grpc = {port = 0, servicers = ["code:Talk"]}'),
        "proto/talk.proto": proto,
        "code.py": code.format("!"),
    }
    with Edited(tmp_path, files, replay=True) as edited:
        edited.mesh.stub("a").Say(text="hi")
        edited.mesh.stub("a").Store(text="a write")
        with edited.awaiting(lambda entry: isinstance(entry, Line) and "replayed" in entry.text) as found:
            edited.save({"code.py": code.format("?")})
        first, *rest = found[0].text.split("\n")
        assert first.startswith("replayed grpc Say: OK -> OK, ")
        assert rest == ['  text: "hi!" -> "hi?"']
