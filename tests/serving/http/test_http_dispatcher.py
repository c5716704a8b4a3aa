"""Failing HTTP handlers: what a caller is told, and what the log is told."""

from __future__ import annotations

import http.client
import re
import time

import pytest
import requests

from mesh.observing.journal import Line
from mesh.observing.span import Span
from mesh.pytest_plugin import Mesh
from tests.serving.misbehaving import BAD_STARTS, say

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


def complaint_of(bad: Mesh, service: str) -> str:
    """Return the service's complaints; Starlette answers before it raises, so it may come after the answer."""
    until = time.monotonic() + 60
    while not (found := complaints(bad, service)) and time.monotonic() < until:
        pass
    (complaint,) = found
    return complaint


def complaints(bad: Mesh, service: str) -> list[str]:
    entries = bad.supervisor.journal.entries()
    return [each.text for each in entries if isinstance(each, Line) and each.service == service]


@pytest.mark.parametrize(("path", "error"), [
    ("/raises", "ValueError: a secret"),
    ("/exits", "SystemExit: 3"),
    ("/exits-in-a-thread", "SystemExit: 3"),
    ("/interrupts", "KeyboardInterrupt"),
    ("/answers-nothing", "TypeError: 'NoneType' object is not callable"),
])  # fmt: skip
def test_a_handler_that_fails_is_500_with_a_request_id_and_its_traceback_in_the_log(
    bad: Mesh, path: str, error: str
) -> None:
    answer = bad.http("web").get(path, headers=TRACEPARENT)
    assert answer.status_code == 500
    message = "internal error in web (request 0af7651916cd43dd)"
    assert answer.json() == {"code": 13, "message": message, "details": []}
    complaint = complaint_of(bad, "web")
    assert complaint.startswith("request 0af7651916cd43dd failed\nTraceback (most recent call last):")
    assert complaint.endswith(error)
    assert bad.http("web").get("/well").text == "well"
    assert bad.supervisor.snapshot["web"].state == "ready"


def test_an_answer_that_breaks_off_is_cut_and_not_ended_as_if_it_were_whole(bad: Mesh) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        bad.http("web").get("/breaks-off")
    assert complaint_of(bad, "web").endswith("ValueError: a secret")
    assert bad.http("web").get("/well").text == "well"


@pytest.mark.parametrize("kind", BAD_STARTS)
def test_a_status_or_a_header_that_http_cannot_carry_is_500_with_a_request_id_and_a_line(bad: Mesh, kind: str) -> None:
    answer = bad.http("web").get(f"/starts-badly/{kind}", headers=TRACEPARENT)
    message = "internal error in web (request 0af7651916cd43dd)"
    assert (answer.status_code, answer.json()) == (500, {"code": 13, "message": message, "details": []})
    assert complaint_of(bad, "web").endswith(BAD_STARTS[kind][2])


@pytest.mark.parametrize("path", ["/refuses/NOT_FOUND", "/api/grpc/users"])
def test_an_errors_text_comes_as_valid_json_whatever_is_in_it(bad: Mesh, path: str) -> None:
    text = "quotes \" ' % %41 \\ new\nline\ttab emoji 🦊 zoë"
    if path == "/refuses/NOT_FOUND":
        answer = bad.http("gateway").post(path, data=text.encode())
    else:
        answer = bad.http("gateway").post(path, json={"name": "NOT_FOUND", "email": text})
    assert (answer.status_code, answer.json()) == (404, {"code": 5, "message": text, "details": []})


@pytest.mark.parametrize("path", ["/no-such", "/no-such/%0d%0aSet-Cookie:%20a=b", "/%00"])
def test_a_path_that_is_not_there_is_404_in_json(bad: Mesh, path: str) -> None:
    answer = bad.http("web").get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, 5)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("timeout", ["0m", "0H", "0n"])
def test_no_handler_runs_for_a_caller_whose_deadline_has_passed(bad: Mesh, timeout: str) -> None:
    for path in ("/raises", "/api/grpc/users/1"):
        answer = bad.http("gateway").get(path, headers={"grpc-timeout": timeout})
        assert (answer.status_code, answer.json()["code"]) == (504, 4)
        assert answer.json()["message"] == "the deadline had passed before the handler ran"
    assert complaints(bad, "gateway") == []


@pytest.mark.parametrize("timeout", ["", "5", "m", "-1S", "1.5S", "123456789S", "1s", "\u00b2S"])
def test_a_deadline_that_is_none_is_400(bad: Mesh, timeout: str) -> None:
    connection = http.client.HTTPConnection(str(bad.address("web.http")), timeout=10)
    connection.request("GET", "/well", headers={"grpc-timeout": timeout})
    answer = connection.getresponse()
    # An empty header says nothing.
    assert answer.status == (200 if timeout == "" else 400), answer.read()
    connection.close()


def test_each_request_is_recorded_once_with_what_its_caller_was_told(bad: Mesh) -> None:
    bad.http("web").get("/raises", headers=TRACEPARENT)
    bad.http("web").get("/well")
    (first, second) = [each for each in bad.supervisor.journal.entries() if isinstance(each, Span)]
    assert (first.service, first.protocol, first.name, first.status) == ("web", "http", "GET /raises", "500")
    assert (first.trace_id, first.parent_id, first.is_root) == (TRACE, "b7ad6b7169203331", True)
    assert (second.name, second.status, second.parent_id) == ("GET /well", "200", None)
    assert re.fullmatch("[0-9a-f]{32}", second.trace_id)
    assert second.trace_id != TRACE
    assert bad.supervisor.journal.in_flight == {}


def test_a_request_that_leaves_before_its_answer_is_forgotten(bad: Mesh) -> None:
    say(
        bad.address("web.http"),
        b"POST /refuses/ABORTED HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\nGARBAGE\r\n\r\n",
    )
    assert bad.http("web").get("/well").text == "well"
    assert bad.supervisor.journal.in_flight == {}
