"""The gateway before servers that do what gRPC's http2_test server does, in hand-made frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h2.errors
import h2.settings
import pytest

from mesh import Grpc, Http, Service, Supervisor, Topology
from mesh.pytest_plugin import Mesh
from mesh.topology.selection import select
from tests.serving.grpc.http2_peer import Conversation, Deed, Http2Server, framed
from tests.serving.misbehaving import DESCRIPTORS

ADA = b"\x08\x01\x12\x03Ada"
RESET = h2.errors.ErrorCodes.NO_ERROR


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Mesh, Http2Server]]]:
    """A gateway before a server of the test's."""
    opened: list[Mesh | Http2Server] = []

    def run(deed: Deed, settings: dict[int, int] | None = None) -> tuple[Mesh, Http2Server]:
        server = Http2Server(deed, settings)
        monkeypatch.setenv("MESH_USER_SERVICE_GRPC", str(server.address))
        topology = Topology(
            "test",
            Service("gateway", http=Http(ports=(0,), contracts=("user-service",), prefix="/api/grpc")),
            Service("user-service", grpc=Grpc(1, services=("user.UserService",))),
            folder=tmp_path,
            descriptors=[DESCRIPTORS],
        )
        mesh = Mesh(Supervisor(select(topology, ["gateway"])))
        mesh.supervisor.start()
        opened.extend((mesh, server))
        return mesh, server

    yield run
    for each in opened:
        each.close()


def get(mesh: Mesh) -> Any:
    return mesh.http("gateway").get("/api/grpc/users/1")


def test_calls_go_on_over_a_new_connection_after_goaway(gateway: Any) -> None:
    def deed(conversation: Conversation, stream: int) -> None:
        conversation.answer(stream, ADA)
        conversation.go_away(stream)

    mesh, server = gateway(deed)
    assert [get(mesh).json()["name"] for _ in range(3)] == ["Ada"] * 3
    assert server.streams == [1, 1, 1]


@pytest.mark.parametrize("after", ["headers", "data", "part of the data"])
def test_a_call_that_is_reset_fails_at_once_and_the_connection_goes_on(gateway: Any, after: str) -> None:
    def deed(conversation: Conversation, stream: int) -> None:
        if server.streams != [1]:
            conversation.answer(stream, ADA)
            return
        conversation.head(stream)
        if after == "data":
            conversation.h2.send_data(stream, framed(ADA))
        elif after == "part of the data":
            conversation.h2.send_data(stream, framed(ADA)[:7])
        conversation.h2.reset_stream(stream, RESET)

    mesh, server = gateway(deed)
    answer = get(mesh)
    assert (answer.status_code, answer.json()["code"]) in ((500, 2), (500, 13), (503, 14))
    assert get(mesh).json()["name"] == "Ada"
    assert server.streams == [2]


def test_pings_are_answered_and_calls_go_on(gateway: Any) -> None:
    def deed(conversation: Conversation, stream: int) -> None:
        for number in range(20):
            conversation.h2.ping(number.to_bytes(8, "big"))
        conversation.answer(stream, ADA)

    mesh, server = gateway(deed)
    assert [get(mesh).json()["name"] for _ in range(5)] == ["Ada"] * 5
    assert server.streams == [5]
    assert server.acknowledged >= 80


def test_one_stream_at_a_time_is_enough_for_many_callers(gateway: Any) -> None:
    settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    mesh, server = gateway(lambda conversation, stream: conversation.answer(stream, ADA), settings)
    assert get(mesh).json()["name"] == "Ada"  # the settings have come by then
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: get(mesh).json()["name"], range(10)))
    assert answers == ["Ada"] * 10
    assert server.most == 1
