"""Failing handlers and malformed calls: what a gRPC caller is told, and what the log is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from mesh.contract import collect_handlers
from mesh.contract.status import details_of_metadata
from mesh.observing.journal import Line
from mesh.observing.span import Span
from mesh.pytest_plugin import Mesh
from mesh.service import ServiceContext
from mesh.serving.grpc.calls import ActiveCalls
from mesh.serving.grpc.dispatcher import MethodDispatcher
from mesh.serving.grpc.handlers import Layered
from tests.serving.misbehaving import GET, LONG, Misbehaving, failure, wait_until
from tests.support.raw_calls import metadata_of, unary

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")


def raw(mesh: Mesh, path: str, request: bytes = b"", **options: Any) -> Any:
    """Calls with bytes; the answer's bytes, or grpc.RpcError."""
    return unary(mesh.channel("user-service"), path)(request, **{"timeout": 10, **options})


@pytest.mark.parametrize(("deed", "error"), [
    (1, "ValueError: a secret"),
    (2, "SystemExit: 3"),
    (3, ".GetUser answered None, which is not a message of its type"),
    (4, ".GetUser answered 'Ada', which is not a message of its type"),
    (7, "KeyboardInterrupt"),
])  # fmt: skip
def test_a_handler_that_fails_is_internal_at_once_with_a_request_id_and_its_traceback_in_the_log(
    bad: Mesh, deed: int, error: str
) -> None:
    stub = bad.stub("user-service")
    code, details = failure(lambda: stub.GetUser(id=deed, metadata=[TRACEPARENT]))
    assert (code, details) == ("INTERNAL", "internal error in user-service (request 0af7651916cd43dd)")
    entries = bad.supervisor.journal.entries()
    lines = [each for each in entries if isinstance(each, Line) and each.level == "ERROR"]
    assert [line.service for line in lines] == ["user-service"]
    assert lines[0].text.startswith("request 0af7651916cd43dd failed\nTraceback (most recent call last):")
    assert error in lines[0].text
    assert stub.GetUser(id=100).name == "well"
    assert bad.supervisor.snapshot["user-service"].state == "ready"


@pytest.mark.parametrize("deed", [1, 2, 3, 4, 7])
def test_the_same_handler_fails_in_the_same_way_over_rest(bad: Mesh, deed: int) -> None:
    for service, path in (("user-service", "/users"), ("gateway", "/api/grpc/users")):
        answer = bad.http(service).get(f"{path}/{deed}", headers=dict([TRACEPARENT]))
        message = "internal error in user-service (request 0af7651916cd43dd)"
        assert (answer.status_code, answer.json()) == (500, {"code": 13, "message": message, "details": []})
    assert bad.http("user-service").get("/users/100").json()["name"] == "well"


def test_what_a_handler_says_by_its_context_is_its_answer(bad: Mesh) -> None:
    assert failure(lambda: bad.stub("user-service").GetUser(id=8)) == ("NOT_FOUND", "set by hand")
    answer = bad.http("user-service").get("/users/8")
    assert (answer.status_code, answer.json()["message"]) == (404, "set by hand")


REQUEST = "(request 0af7651916cd43dd)"


@pytest.mark.parametrize(("deed", "details"), [(21, "set by hand"), (22, f"internal error in user-service {REQUEST}")])
def test_a_code_that_was_set_stands_when_the_handler_raises_which_the_log_is_told(
    bad: Mesh, deed: int, details: str
) -> None:
    ask = lambda: bad.stub("user-service").GetUser(id=deed, metadata=[TRACEPARENT])  # noqa: E731
    assert failure(ask) == ("ABORTED", details)
    for service, path in (("user-service", "/users"), ("gateway", "/api/grpc/users")):
        answer = bad.http(service).get(f"{path}/{deed}", headers=dict([TRACEPARENT]))
        assert (answer.status_code, answer.json()) == (409, {"code": 10, "message": details, "details": []})
    lines = [each for each in bad.supervisor.journal.entries() if isinstance(each, Line)]
    assert [line.service for line in lines] == ["user-service"] * 3
    for line in lines:
        assert line.text.startswith("request 0af7651916cd43dd failed\nTraceback (most recent call last):")
        assert line.text.endswith("ValueError: a secret")


def test_a_number_that_is_no_code_is_unknown_and_tells_nothing_of_the_inside(bad: Mesh) -> None:
    assert failure(lambda: bad.stub("user-service").GetUser(id=23)) == ("UNKNOWN", "no such code")
    for service, path in (("user-service", "/users/23"), ("gateway", "/api/grpc/users/23")):
        answer = bad.http(service).get(path)
        assert (answer.status_code, answer.json()["message"]) == (500, "no such code")
    spans = [each for each in bad.supervisor.journal.entries() if isinstance(each, Span)]
    assert {each.status for each in spans} == {"UNKNOWN", "500"}


@pytest.mark.parametrize(("deed", "code"), [(24, "NOT_FOUND"), (25, "ABORTED")])
def test_a_text_over_the_limit_of_metadata_is_cut_and_no_other_status(bad: Mesh, deed: int, code: str) -> None:
    found, details = failure(lambda: bad.stub("user-service").GetUser(id=deed))
    assert found == code
    # Two bytes of ü and the sign % take three of metadata each.
    assert details == "ü % " * 651 + "..."
    answer = bad.http("user-service").get(f"/users/{deed}")
    assert answer.json()["message"] == LONG


@pytest.mark.parametrize(("deed", "code"), [(28, "NOT_FOUND"), (29, "ABORTED")])
def test_a_text_gets_what_the_handlers_own_metadata_leaves_of_the_limit(bad: Mesh, deed: int, code: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        bad.stub("user-service").GetUser(id=deed)
    assert (caught.value.code().name, caught.value.details()) == (code, "ü % " * 284 + "...")
    assert metadata_of(caught.value)["x-large"] == "y" * 4000
    for service, path in (("user-service", "/users"), ("gateway", "/api/grpc/users")):
        assert bad.http(service).get(f"{path}/{deed}").json()["code"] == {"NOT_FOUND": 5, "ABORTED": 10}[code]


def test_details_stay_beside_a_text_that_was_cut_and_beside_metadata_of_the_handlers(bad: Mesh) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        bad.stub("user-service").GetUser(id=26)
    assert (caught.value.code(), str(caught.value.details())[-7:]) == (grpc.StatusCode.NOT_FOUND, "% ü ...")
    trailing = metadata_of(caught.value)
    assert trailing["x-tried"] == "2"
    (detail,) = details_of_metadata(trailing.items())
    assert detail == error_details_pb2.ErrorInfo(reason="GONE", domain="d" * 100)
    answer = bad.http("gateway").get("/api/grpc/users/26")
    shown = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "GONE", "domain": "d" * 100}
    assert (answer.status_code, answer.json()["details"]) == (404, [shown])


@pytest.mark.parametrize("path", ["/user.UserService/Nothing", "/no.Such/GetUser", "/", "/grpc.health.v1.Health/No"])
def test_what_there_is_not_is_unimplemented(bad: Mesh, path: str) -> None:
    assert failure(lambda: raw(bad, path))[0] == "UNIMPLEMENTED"


@pytest.mark.parametrize("request_", [b"\xff\xff\xff", b"\x0a\x05ab", b"\x08", bytes(100) + b"\x07"])
def test_garbage_is_invalid_argument_and_reaches_no_handler(bad: Mesh, servicer: Misbehaving, request_: bytes) -> None:
    assert failure(lambda: raw(bad, GET, request_)) == (
        "INVALID_ARGUMENT",
        "GetUser: the request is not a valid message",
    )
    assert servicer.asked == 0
    assert bad.stub("user-service").GetUser(id=100).name == "well"


def test_a_message_over_four_mebibytes_fails_alone(bad: Mesh) -> None:
    stub = bad.stub("user-service")
    code, details = failure(lambda: stub.CreateUser(name="NOT_FOUND", email="x" * (4 * 1024 * 1024)))
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in details
    assert failure(lambda: stub.CreateUser(name="NOT_FOUND", email="y")) == ("NOT_FOUND", "y")


def test_metadata_over_the_limit_fails_alone(bad: Mesh) -> None:
    stub = bad.stub("user-service")
    code, _ = failure(lambda: stub.GetUser(id=100, metadata=[("x", "y" * 100_000)]))
    assert code == "RESOURCE_EXHAUSTED"
    assert stub.GetUser(id=100).name == "well"


@pytest.mark.parametrize(("header", "value", "message"), [
    ("grpc-metadata-x-bin", "!!!", "the header grpc-metadata-x-bin is not base64"),
    ("grpc-timeout", "soon", "grpc-timeout 'soon' is not up to eight digits and one of H M S m u n"),
])  # fmt: skip
def test_metadata_that_is_none_is_400_over_http(bad: Mesh, header: str, value: str, message: str) -> None:
    for service, path in (("gateway", "/api/grpc/users/100"), ("user-service", "/users/100")):
        answer = bad.http(service).get(path, headers={header: value})
        assert (answer.status_code, answer.json()) == (400, {"code": 3, "message": message, "details": []})
        assert bad.http(service).get(path).status_code == 200


def test_metadata_too_large_for_grpc_is_the_callers_mistake(bad: Mesh) -> None:
    answer = bad.http("gateway").get("/api/grpc/users/100", headers={"grpc-metadata-x": "y" * 20_000})
    assert answer.status_code in (400, 429, 431)
    assert bad.http("gateway").get("/api/grpc/users/100").status_code == 200


def test_a_client_that_cancels_frees_its_slot_and_the_handler_learns_it(bad: Mesh, servicer: Misbehaving) -> None:
    call = unary(bad.channel("user-service"), GET).future(b"\x08\x05")
    assert servicer.hanging.acquire(timeout=30)
    assert len(bad.supervisor.journal.in_flight) == 1
    call.cancel()
    assert servicer.cancelled.wait(30)
    wait_until(lambda: not bad.supervisor.journal.in_flight)


class Expired:
    """The context of a call whose caller has stopped waiting."""

    code_ = None

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return []

    def time_remaining(self) -> float:
        return -0.001

    def trailing_metadata(self) -> None:
        return None

    def set_trailing_metadata(self, metadata: object) -> None:
        assert metadata == ()

    def details(self) -> None:
        return None

    def set_code(self, code: object) -> None:
        self.code_ = code

    def code(self) -> object:
        return self.code_

    def abort(self, code: object, details: str) -> None:
        self.code_ = code
        raise LookupError(details)


def test_no_handler_runs_for_a_caller_whose_deadline_has_passed() -> None:
    servicer = Misbehaving()
    service = ServiceContext("user-service", Path())
    method = Layered(GET, collect_handlers([servicer]).by_path[GET], service, ActiveCalls())
    context = Expired()
    with pytest.raises(LookupError, match="the deadline had passed before the handler ran"):
        method.handler().unary_unary(b"\x08\x64", context)
    assert context.code_ is grpc.StatusCode.DEADLINE_EXCEEDED
    assert servicer.asked == 0
    assert [each.status for each in service.journal.entries() if isinstance(each, Span)] == ["DEADLINE_EXCEEDED"]


class Details(grpc.HandlerCallDetails):
    method = GET
    invocation_metadata = ()


def test_a_call_looked_up_before_a_swap_begins_on_the_code_that_serves_by_then() -> None:
    old, new = Misbehaving(), Misbehaving()
    before, after = ServiceContext("user-service", Path()), ServiceContext("user-service", Path())
    dispatcher = MethodDispatcher()
    dispatcher.serve(collect_handlers([old]), before, Layered)
    looked_up: Any = dispatcher.service(Details())
    dispatcher.serve(collect_handlers([new]), after, Layered)
    with pytest.raises(LookupError, match="the deadline had passed before the handler ran"):
        looked_up.unary_unary(b"\x08\x64", Expired())
    assert [each.status for each in after.journal.entries() if isinstance(each, Span)] == ["DEADLINE_EXCEEDED"]
    assert before.journal.entries() == []


@pytest.mark.parametrize("timeout", [0, -1, 1e-9, 0.1])
def test_a_deadline_ends_a_call_that_hangs(bad: Mesh, timeout: float) -> None:
    assert failure(lambda: bad.stub("user-service").GetUser(id=5, timeout=timeout))[0] == "DEADLINE_EXCEEDED"
    assert bad.stub("user-service").GetUser(id=101).name == "well"


def test_a_caller_through_the_gateway_that_sets_no_deadline_gets_one(
    bad: Mesh, servicer: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.calling.grpc_transport.GRPC_TIMEOUT", 1.0)
    answer = bad.http("gateway").get("/api/grpc/users/5")
    assert (answer.status_code, answer.json()["code"]) == (504, 4)
    assert servicer.cancelled.wait(30)


def test_each_call_is_recorded_once_with_what_its_caller_was_told(bad: Mesh) -> None:
    failure(lambda: bad.stub("user-service").GetUser(id=1, metadata=[TRACEPARENT]))
    bad.stub("user-service").GetUser(id=100)
    spans = [each for each in bad.supervisor.journal.entries() if isinstance(each, Span)]
    assert [(each.service, each.protocol, each.name, each.status) for each in spans] == [
        ("user-service", "grpc", "GetUser", "INTERNAL"),
        ("user-service", "grpc", "GetUser", "OK"),
    ]
    assert (spans[0].trace_id, spans[0].parent_id, spans[0].is_root) == (TRACE, "b7ad6b7169203331", True)


def test_a_call_through_the_gateway_hangs_in_one_trace(bad: Mesh) -> None:
    bad.http("gateway").get("/api/grpc/users/100", headers=dict([TRACEPARENT]))
    wait_until(lambda: len([e for e in bad.supervisor.journal.entries() if isinstance(e, Span)]) == 3)
    inner, client, outer = (each for each in bad.supervisor.journal.entries() if isinstance(each, Span))
    assert (inner.service, inner.parent_id, inner.trace_id) == ("user-service", client.span_id, TRACE)
    assert (client.service, client.parent_id, client.peer) == ("gateway", outer.span_id, "user-service")
    assert (outer.service, outer.parent_id, outer.trace_id) == ("gateway", "b7ad6b7169203331", TRACE)
    assert (inner.is_root, outer.is_root) == (False, True)


def test_details_travel_percent_encoded_and_come_out_as_they_were(bad: Mesh) -> None:
    text = "quotes \" ' % %41 \\ new\nline\ttab emoji 🦊 zoë"
    ask = lambda: bad.stub("user-service").CreateUser(name="ABORTED", email=text)  # noqa: E731
    assert failure(ask) == ("ABORTED", text)
