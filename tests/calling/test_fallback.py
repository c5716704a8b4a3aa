"""An order while the user service's gRPC listener is well, refused, hung, cut, another program, or says no."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import grpc
import pytest

from mesh.calling.connections import CHANNEL_OPTIONS
from mesh.observing.span import Span
from mesh.pytest_plugin import Mesh
from mesh.store.pb import user_pb2
from tests.calling.orders import Start
from tests.calling.peers import GrpcPeer, HttpPeer, Hung, refused

ADA = {"id": 1, "name": "Ada", "email": "ada@x"}
BOTH_GRPC = {"user-service": "grpc", "product-service": "grpc"}
USER_BY_HTTP = {"user-service": "http", "product-service": "grpc"}
#: Seconds. gRPC keeps deadlines on one clock and tells them on another, which has gone its own way since the start.
CLOCKS = 0.4


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def ways(answer: Any) -> dict[str, str]:
    """Return the transport by which each service was asked, as Server-Timing says."""
    found = re.findall(r'([a-z-]+);desc="(\w+)";dur=\d+\.\d', answer.headers["server-timing"])
    assert len(found) == len(dict(found)), found
    return dict(found)


def says(code: grpc.StatusCode, text: str = "no") -> GrpcPeer:
    return GrpcPeer(lambda request, context: context.abort(code, text))


def test_while_all_is_well_both_are_asked_over_grpc_and_once(orders: Start, stack: ExitStack) -> None:
    peer = stack.enter_context(closing(GrpcPeer(lambda request, context: user_pb2.User(id=1))))
    second = stack.enter_context(closing(HttpPeer(200, ADA)))
    answer = orders(user_grpc=peer.address, user_http=second.address).order()
    assert (answer.status_code, ways(answer)) == (201, BOTH_GRPC)
    assert (len(peer.asked), len(second.asked)) == (1, 0)


def test_a_refused_grpc_port_is_passed_by_over_http(orders: Start, stack: ExitStack) -> None:
    running = orders(user_grpc=stack.enter_context(refused()))
    assert ways(running.order()) == USER_BY_HTTP
    answer = running.order()
    assert (answer.status_code, ways(answer)) == (201, USER_BY_HTTP)
    assert running.stored() == 2
    spans = [each for each in running.supervisor.journal.entries() if isinstance(each, Span) and each.way]
    assert [(each.service, each.way, each.status) for each in spans] == [
        ("order-service", "user-service.grpc UNAVAILABLE -> http", "200")
    ] * 2


def test_the_same_order_comes_out_whichever_way_was_taken(orders: Start, stack: ExitStack) -> None:
    usual, other = (
        orders(),
        orders(user_grpc=stack.enter_context(refused()), product_grpc=stack.enter_context(refused())),
    )
    results = [
        [
            (answer.status_code, answer.json() | {"created_at": ""})
            for answer in (running.order(), running.order(user=99), running.order(product=99), running.order(user=-1))
        ]
        for running in (usual, other)
    ]
    assert results[0][0][0] == 201
    assert [status for status, _ in results[0][1:]] == [404, 404, 404]
    assert results[0] == results[1]


def test_a_hung_grpc_peer_leaves_time_for_http_within_one_deadline(orders: Start, stack: ExitStack) -> None:
    hung = stack.enter_context(closing(Hung()))
    running = orders(user_grpc=hung.address)
    started = time.perf_counter()
    answer = running.order(grpc_timeout="2S")
    assert (answer.status_code, ways(answer)) == (201, USER_BY_HTTP)
    assert time.perf_counter() - started > 0.9
    assert hung.connected >= 1


def test_a_slow_answer_within_the_deadline_is_waited_for(orders: Start, stack: ExitStack) -> None:
    def late(request: user_pb2.GetUserRequest, context: grpc.ServicerContext) -> user_pb2.User:
        time.sleep(0.3)
        return user_pb2.User(id=1)

    slow = stack.enter_context(closing(GrpcPeer(late)))
    second = stack.enter_context(closing(HttpPeer(200, ADA)))
    answer = orders(user_grpc=slow.address, user_http=second.address).order()
    assert (answer.status_code, ways(answer)) == (201, BOTH_GRPC)
    assert (len(slow.asked), len(second.asked)) == (1, 0)


def test_a_connection_reset_under_a_read_is_asked_again_over_http(orders: Start, stack: ExitStack) -> None:
    cut = stack.enter_context(closing(Hung(resets=True)))
    answer = orders(user_grpc=cut.address).order()
    assert (answer.status_code, ways(answer)) == (201, USER_BY_HTTP)


def test_a_port_with_something_else_on_it_is_passed_by_and_that_is_said(orders: Start, stack: ExitStack) -> None:
    web = stack.enter_context(closing(HttpPeer(200, ADA)))
    running = orders(user_grpc=web.address)
    answer = running.order()
    assert (answer.status_code, ways(answer)) == (201, USER_BY_HTTP)
    told = [each.way for each in running.supervisor.journal.entries() if isinstance(each, Span) and each.way]
    assert told == ["user-service.grpc UNAVAILABLE (not a gRPC server) -> http"]


def test_both_ways_refused_is_503_with_the_cause_of_each_try(orders: Start, stack: ExitStack) -> None:
    grpc_address, http_address = stack.enter_context(refused()), stack.enter_context(refused())
    running = orders(user_grpc=grpc_address, user_http=http_address)
    answer = running.order()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    error = answer.json()
    assert error["code"] == 14
    assert error["message"].startswith("user-service is unavailable: grpc UNAVAILABLE: ")
    assert f"; http UNAVAILABLE: {http_address}: " in error["message"]
    assert grpc_address in error["message"]
    assert running.stored() == 0


def test_both_ways_hung_is_503_within_the_callers_deadline(orders: Start, stack: ExitStack) -> None:
    first, second = stack.enter_context(closing(Hung())), stack.enter_context(closing(Hung()))
    running = orders(user_grpc=first.address, user_http=second.address)
    started = time.perf_counter()
    answer = running.order(grpc_timeout="1600m")
    assert time.perf_counter() - started > 1.5
    assert answer.status_code == 503
    message = answer.json()["message"]
    assert message.startswith("user-service is unavailable: grpc DEADLINE_EXCEEDED: ")
    assert re.search(rf"; http DEADLINE_EXCEEDED: {second.address} did not answer within 0\.\d s$", message)
    assert running.stored() == 0


@pytest.mark.parametrize(("code", "status"), [
    ("NOT_FOUND", 404),
    ("INVALID_ARGUMENT", 400),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("UNAUTHENTICATED", 401),
    ("FAILED_PRECONDITION", 400),
    ("OUT_OF_RANGE", 400),
    ("ABORTED", 409),
    ("INTERNAL", 500),
    ("UNKNOWN", 500),
    ("DATA_LOSS", 500),
    ("RESOURCE_EXHAUSTED", 429),
])  # fmt: skip
def test_what_the_service_answers_is_final(orders: Start, stack: ExitStack, code: str, status: int) -> None:
    peer = stack.enter_context(closing(says(grpc.StatusCode[code], f"said {code}")))
    second = stack.enter_context(closing(HttpPeer(200, ADA)))
    running = orders(user_grpc=peer.address, user_http=second.address)
    answer = running.order()
    assert (answer.status_code, answer.json()["message"]) == (status, f"said {code}")
    assert (len(peer.asked), len(second.asked), running.stored()) == (1, 0, 0)
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "UNIMPLEMENTED", "DEADLINE_EXCEEDED"])
def test_what_failed_as_transport_is_asked_once_more_over_http(orders: Start, stack: ExitStack, code: str) -> None:
    peer = stack.enter_context(closing(says(grpc.StatusCode[code])))
    second = stack.enter_context(closing(HttpPeer(200, ADA)))
    answer = orders(user_grpc=peer.address, user_http=second.address).order()
    assert (answer.status_code, ways(answer)) == (201, USER_BY_HTTP)
    assert (len(peer.asked), [each["path"] for each in second.asked]) == (1, ["/users/1"])


@pytest.mark.parametrize(("status", "content", "expected"), [
    (404, {"code": 5, "message": "user 1 does not exist", "details": []}, (404, "user 1 does not exist")),
    (429, {"code": 8, "message": "slowly", "details": []}, (429, "slowly")),
    (500, {"code": 13, "message": "internal error", "details": []}, (500, "internal error")),
])  # fmt: skip
def test_what_the_second_way_answers_is_final_too(
    orders: Start, stack: ExitStack, status: int, content: dict[str, Any], expected: tuple[int, str]
) -> None:
    second = stack.enter_context(closing(HttpPeer(status, content)))
    running = orders(user_grpc=stack.enter_context(refused()), user_http=second.address)
    answer = running.order()
    assert (answer.status_code, answer.json()["message"]) == expected
    assert (len(second.asked), running.stored()) == (1, 0)


@pytest.mark.parametrize(("status", "content_type", "reason"), [
    (502, "text/html", "answered 502 with text/html: not this contract's REST API"),
    (404, "text/plain", "answered 404 with text/plain: not this contract's REST API"),
    (503, "application/json", "HTTP status 503"),
])  # fmt: skip
def test_a_second_way_that_is_not_the_service_is_503(
    orders: Start, stack: ExitStack, status: int, content_type: str, reason: str
) -> None:
    second = stack.enter_context(closing(HttpPeer(status, "busy", content_type)))
    answer = orders(user_grpc=stack.enter_context(refused()), user_http=second.address).order()
    assert answer.status_code == 503
    assert answer.json()["message"].endswith(reason)


def test_a_service_that_is_back_is_asked_over_grpc_again(orders: Start, stack: ExitStack) -> None:
    first = GrpcPeer(lambda request, context: user_pb2.User(id=1))
    running = orders(user_grpc=first.address)
    assert ways(running.order()) == BOTH_GRPC
    first.close()
    until = time.perf_counter() + 2.4
    while time.perf_counter() < until:  # long enough for pauses that grow to have grown
        assert ways(running.order()) == USER_BY_HTTP
    again = stack.enter_context(closing(GrpcPeer(lambda request, context: user_pb2.User(id=1), first.port)))
    assert dict(CHANNEL_OPTIONS)["grpc.max_reconnect_backoff_ms"] <= 500  # gRPC's own pauses grow to two minutes
    patience = time.perf_counter() + 30
    while ways(running.order()) == USER_BY_HTTP:
        assert time.perf_counter() < patience
    assert len(again.asked) == 1


def test_no_way_gets_more_time_than_the_caller_has(orders: Start, stack: ExitStack) -> None:
    peer = stack.enter_context(closing(says(grpc.StatusCode.UNAVAILABLE)))
    second = stack.enter_context(closing(HttpPeer(200, ADA)))
    assert orders(user_grpc=peer.address, user_http=second.address).order(grpc_timeout="4S").status_code == 201
    assert 1 < peer.asked[0]["left"] < 2 + CLOCKS
    milliseconds = int(second.asked[0]["grpc-timeout"].removesuffix("m"))
    assert 2000 < milliseconds <= 4000


def test_a_caller_without_a_deadline_gets_one(orders: Start, stack: ExitStack) -> None:
    peer = stack.enter_context(closing(GrpcPeer(lambda request, context: user_pb2.User(id=1))))
    orders(user_grpc=peer.address).order()
    assert 2 < peer.asked[0]["left"] < 2.5 + CLOCKS


def test_a_deadline_reaches_the_last_service_through_the_gateway(mesh: Mesh) -> None:
    answer = mesh.http("gateway").post("/api/orders", data=json.dumps({}), headers={"grpc-timeout": "1n"})
    assert (answer.status_code, answer.json()["code"]) == (504, 4)


def test_the_trace_goes_along_on_both_ways(orders: Start, stack: ExitStack) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    peer = stack.enter_context(closing(says(grpc.StatusCode.UNAVAILABLE)))
    second = stack.enter_context(closing(HttpPeer(200, ADA)))
    running = orders(user_grpc=peer.address, user_http=second.address)
    running.order(traceparent=f"00-{trace}-b7ad6b7169203331-01")
    for asked in (peer.asked[0], second.asked[0]):
        assert asked["traceparent"].split("-")[:2] == ["00", trace]
        assert asked["traceparent"].split("-")[2] != "b7ad6b7169203331"
