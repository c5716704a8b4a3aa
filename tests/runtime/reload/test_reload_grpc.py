"""Reloads behind a gRPC listener: streams, channels, and the contract."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh.calling.reflected import Reflected
from mesh.observing.journal import Line
from tests.support.editing import PATIENCE, Edited, toml

PROTO = """
    syntax = "proto3";
    package talk;
    import "google/api/annotations.proto";

    service Talk {{
      rpc Say(Word) returns (Word) {{ option (google.api.http) = {{ get: "/say" }}; }}
      rpc Count(Word) returns (stream Word);
    }}

    message Word {{
      string text = 1;
      {more}
    }}
"""
SYNC = """
    import pathlib, time
    import talk_pb2, talk_pb2_grpc

    class Talk(talk_pb2_grpc.TalkServicer):
        def Say(self, request, context):
            return talk_pb2.Word({says})

        def Count(self, request, context):
            yield talk_pb2.Word({says})
            while not pathlib.Path("end").exists():
                time.sleep(0.01)
            yield talk_pb2.Word({says})
"""
ASYNC = (
    SYNC.replace("def S", "async def S")
    .replace("def C", "async def C")
    .replace("time.", "await asyncio.")
    .replace("import pathlib, time", "import asyncio, pathlib")
)
CODE = {"sync": SYNC, "async": ASYNC}


def files(code: str, says: str = "text='a'", more: str = "") -> dict[str, str]:
    return {"proto/talk.proto": PROTO.format(more=more), "talk.py": code.format(says=says)}


TOML = {
    "mesh.toml": '[mesh]\nprotos = ["proto"]\n'
    + toml(
        talk='http = {port = 0}\ngrpc = {port = 0, servicers = ["talk:Talk"]}',
        web='http = {port = 0, contract = ["talk"], prefix = "/api"}\ndepends_on = ["talk"]',
        plain='http = {port = 0, app = "plain:app"}',
    ),
    "plain.py": "async def app(scope, receive, send): ...",
}


@pytest.fixture(params=["sync", "async"])
def code(request: pytest.FixtureRequest) -> str:
    return CODE[request.param]


@pytest.fixture
def talk(tmp_path: Path, code: str) -> Iterator[Edited]:
    with Edited(tmp_path, {**TOML, **files(code)}) as edited:
        assert edited.supervisor.failures() == []
        yield edited


def call(edited: Edited, method: str) -> Any:
    """Return the bytes of a message go over the channel as they are: field 1, a string."""
    kind = "unary_stream" if method == "Count" else "unary_unary"
    return getattr(edited.mesh.channel("talk"), kind)(f"/talk.Talk/{method}")


def test_an_open_stream_ends_on_the_code_it_began_with_and_the_channel_stays(talk: Edited, code: str) -> None:
    talk.reload("talk", {"talk.py": code.format(says="text='a ' + context.peer()")})
    stream = call(talk, "Count")(b"", timeout=PATIENCE)
    peer = next(stream)[4:]
    talk.reload("talk", {"talk.py": code.format(says="text='b ' + context.peer()")})
    answer = call(talk, "Say")(b"", timeout=PATIENCE)
    assert (answer[2:4], answer[4:]) == (b"b ", peer)
    (talk.folder / "end").touch()
    assert [each[2:] for each in stream] == [b"a " + peer]


def test_a_changed_proto_is_swapped_with_rest_reflection_and_who_mounts_it(talk: Edited, code: str) -> None:
    with talk.awaiting(lambda entry: isinstance(entry, Line) and "the contract of talk" in entry.text) as found:
        talk.save(files(code, "text='b', more=7", "int32 more = 2;"))
    assert found[0].service == "web"
    assert talk.get("talk", "/say") == '{"text":"b","more":7}'
    assert talk.get("web", "/api/say") == '{"text":"b","more":7}'
    with Reflected(talk.mesh.address("talk.grpc")) as reflected:
        says = reflected.contract()["/talk.Talk/Say"]
    assert [field.name for field in says.response_class.DESCRIPTOR.fields] == ["text", "more"]
    generations = {each.name: each.generation for each in talk.supervisor.snapshot.services}
    assert generations["plain"] == 1


def test_a_broken_proto_says_where_and_leaves_what_serves_while_other_code_is_loaded(talk: Edited, code: str) -> None:
    with talk.awaiting(lambda entry: isinstance(entry, Line) and "live in" in entry.text):
        talk.save(files(code, "text='c'", "int32 text = 2"))
    assert any("talk.proto:" in text for text in talk.lines("mesh")), talk.lines("mesh")
    assert talk.get("talk", "/say") == '{"text":"c"}'
    talk.reload("talk", files(code, "text='d', more=1", "int32 more = 2;"))
    assert talk.get("talk", "/say") == '{"text":"d","more":1}'


def test_plain_methods_that_become_async_ones_cut_the_connections_and_that_is_said(tmp_path: Path) -> None:
    with Edited(tmp_path, {**TOML, **files(SYNC)}) as edited:
        assert call(edited, "Say")(b"", timeout=PATIENCE) == b"\n\x01a"
        edited.reload("talk", files(ASYNC, "text='b'"))
        assert any("connections were cut" in text for text in edited.lines("talk"))
        assert call(edited, "Say")(b"", timeout=PATIENCE, wait_for_ready=True) == b"\n\x01b"
        edited.reload("talk", files(SYNC, "text='c'"))
        assert call(edited, "Say")(b"", timeout=PATIENCE, wait_for_ready=True) == b"\n\x01c"


CLOSING = """
    open = True

    def close():
        global open
        open = False

    from mesh import current_service
    current_service().on_stop(close)

"""


def test_a_thousand_requests_while_it_reloads_have_no_failure(talk: Edited, code: str) -> None:
    """Resources that the old code closes at its end stay open for all of its calls."""
    guarded = textwrap.dedent(CLOSING) + textwrap.dedent(code.format(says="text=str(open)"))
    talk.reload("talk", {"talk.py": guarded})
    url = f"http://{talk.mesh.address('talk.http')}/say"
    say, until = call(talk, "Say"), time.monotonic() + PATIENCE
    reloads = 0

    def over_grpc(count: int) -> set[bytes]:
        return {say(b"", timeout=PATIENCE) for _ in range(count)}

    def over_http(count: int) -> set[bytes]:
        with requests.Session() as session:
            session.trust_env = False
            return {session.get(url, timeout=PATIENCE).content for _ in range(count)}

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, 125) for ask in (over_grpc, over_http) for _ in range(4)]
        while not all(each.done() for each in asked) and time.monotonic() < until:
            talk.reload("talk", {"talk.py": guarded})
            reloads += 1
        answers = [each.result() for each in asked]
    assert answers == [{b"\n\x04True"}] * 4 + [{b'{"text":"True"}'}] * 4
    assert reloads > 1
