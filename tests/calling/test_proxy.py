"""The gateway's plain HTTP way: byte for byte, within the caller's time, and honest when the service is not there."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mesh import Supervisor
from mesh.store.topology import store
from mesh.topology.selection import renumber, select
from tests.calling.peers import HttpPeer, Hung, refused

Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> Callable[[str], Ask]:
    """`gateway("host:port")` runs it before a user service there; what it returns asks it."""

    def start(address: str) -> Ask:
        monkeypatch.setenv("MESH_USER_SERVICE_HTTP", address)
        declared = renumber(store(tmp_path), None, True)
        supervisor = Supervisor(select(declared, ["gateway"]))
        supervisor.start()
        stack.callback(supervisor.stop)

        def ask(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(str(supervisor.directory.address("gateway", "http")), timeout=20)
            with closing(connection):
                connection.putrequest("GET", path)
                for name, value in headers.items():
                    connection.putheader(name.replace("_", "-"), value)
                connection.endheaders()
                answer = connection.getresponse()
                return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

        return ask

    return start


@pytest.mark.parametrize(("asked", "arrives"), [
    ("/api/users/a%2Fb", "/users/a%2Fb"),
    ("/api/users/%C3%A9?q=%20+&q=%zz", "/users/%C3%A9?q=%20+&q=%zz"),
    ("/api/users?a[b]=c|d", "/users?a[b]=c|d"),
])  # fmt: skip
def test_path_and_query_arrive_byte_for_byte(
    gateway: Callable[[str], Ask], stack: ExitStack, asked: str, arrives: str
) -> None:
    peer = stack.enter_context(closing(HttpPeer(200, [])))
    assert gateway(peer.address)(asked)[0] == 200
    assert peer.asked[0]["path"] == arrives


def test_a_service_that_is_not_there_is_503_naming_it(gateway: Callable[[str], Ask], stack: ExitStack) -> None:
    address = stack.enter_context(refused())
    status, headers, body = gateway(address)("/api/users")
    assert (status, headers["retry-after"]) == (503, "1")
    assert f"user-service is unavailable: http {address}: " in body.decode()


def test_a_service_that_does_not_answer_is_504_at_the_callers_deadline(
    gateway: Callable[[str], Ask], stack: ExitStack
) -> None:
    hung = stack.enter_context(closing(Hung()))
    ask = gateway(hung.address)
    status, _, body = ask("/api/users", grpc_timeout="300m")
    assert status == 504
    message = json.loads(body)["message"]
    # Before a first request aiohttp is imported; on a busy machine that takes all of the time.
    assert message.startswith(("user-service did not answer within 0.", "the deadline had passed before user-service"))


def test_what_belongs_to_the_callers_connection_stays_there(gateway: Callable[[str], Ask], stack: ExitStack) -> None:
    peer = stack.enter_context(closing(HttpPeer(200, [])))
    gateway(peer.address)("/api/users", te="trailers", x_mine="kept", accept="text/x", keep_alive="timeout=5")
    asked = peer.asked[0]
    assert (asked["x-mine"], asked["accept"], asked["host"]) == ("kept", "text/x", peer.address)
    assert not {"te", "keep-alive", "proxy-authorization"} & asked.keys()


def test_the_service_is_told_who_asked_and_by_which_url(gateway: Callable[[str], Ask], stack: ExitStack) -> None:
    peer = stack.enter_context(closing(HttpPeer(200, [])))
    ask = gateway(peer.address)
    ask("/api/users")
    ask("/api/users", x_forwarded_for="10.0.0.9", x_forwarded_host="shop.test", x_forwarded_proto="https")
    first, second = ([asked[f"x-forwarded-{name}"] for name in ("for", "proto", "prefix")] for asked in peer.asked)
    assert first == ["127.0.0.1", "http", "/api"]
    assert second == ["10.0.0.9", "https", "/api"]
    assert [asked["x-forwarded-host"].partition(":")[0] for asked in peer.asked] == ["127.0.0.1", "shop.test"]


@pytest.mark.parametrize(("location", "expected"), [
    ("/users/2", "/api/users/2"),
    ("{inner}/users/2?x=1", "/api/users/2?x=1"),
    ("https://elsewhere.test/users", "https://elsewhere.test/users"),
    ("//elsewhere.test/users", "//elsewhere.test/users"),
    ("next", "next"),
])  # fmt: skip
def test_a_redirect_on_the_service_leads_to_the_same_place_through_the_proxy(
    gateway: Callable[[str], Ask], stack: ExitStack, location: str, expected: str
) -> None:
    peer = stack.enter_context(closing(HttpPeer(307, [], headers=[("Location", location)])))
    status, headers, _ = gateway(peer.address)("/api/users")
    assert (status, headers["location"]) == (307, expected)


def test_a_cookie_for_a_path_of_the_service_is_for_that_path_as_it_is_reached_here(
    gateway: Callable[[str], Ask], stack: ExitStack
) -> None:
    cookie = [("Set-Cookie", "a=/; Path=/users; HttpOnly")]
    peer = stack.enter_context(closing(HttpPeer(200, [], headers=cookie)))
    assert gateway(peer.address)("/api/users")[1]["set-cookie"] == "a=/; Path=/api/users; HttpOnly"
