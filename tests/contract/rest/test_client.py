from __future__ import annotations

from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st
from library_pb2 import (
    Book,
    CreateBookRequest,
    Everything,
    File,
    GetBookRequest,
    Titles,
    UpdateBookRequest,
    UploadRequest,
)
from msgspec.structs import replace

from mesh.contract import http_call
from mesh.contract.http_rules.router import Router
from mesh.contract.rest.transcoding import Endpoint
from mesh.errors import Code, StatusError
from tests.contract.library import contract

CONTRACT = contract()
ENDPOINTS = [Endpoint(method, binding) for method in CONTRACT for binding in method.bindings]
ROUTER = Router((e.binding.http_method, e.binding.template, e) for e in ENDPOINTS)


def said(name: str, request: Any) -> tuple[Any, ...]:
    call = http_call(CONTRACT[name], request)
    return call.http_method, call.target, call.body


@pytest.mark.parametrize(
    ("name", "request_", "expected"),
    [
        ("GetBook", GetBookRequest(id=5), ("GET", "/v1/books/5", None)),
        ("GetBook", GetBookRequest(isbn="9/7 8"), ("GET", "/v1/isbn/9%2F7%208", None)),
        ("GetBook", GetBookRequest(id=5, isbn="a b&"), ("GET", "/v1/books/5?isbn=a%20b%26", None)),
        ("GetBook", GetBookRequest(), ("GET", "/v1/books/0", None)),
        ("CreateBook", CreateBookRequest(book=Book(title="é"), dry_run=True),
         ("POST", "/v1/books?dryRun=true", '{"title":"é"}'.encode())),
        ("CreateBook", CreateBookRequest(), ("POST", "/v1/books", b"")),
        ("UpdateBook", UpdateBookRequest(book=Book(id=4, title="T")), ("PATCH", "/v1/books/4", b'{"title":"T"}')),
        ("ArchiveBook", GetBookRequest(id=4, isbn="x"), ("POST", "/v1/books/4:archive", b'{"isbn":"x"}')),
        ("ReadFile", File(path="a/b:c"), ("GET", "/v1/files/a/b%3Ac", None)),
        ("Upload", UploadRequest(path="a"), ("POST", "/v1/raw/a", b"")),
    ],
)  # fmt: skip
def test_a_message_becomes_a_request(name: str, request_: Any, expected: tuple[Any, ...]) -> None:
    assert said(name, request_) == expected


def test_a_message_no_rule_can_say_is_refused() -> None:
    with pytest.raises(StatusError, match="has no HTTP rule that can express this request") as refused:
        http_call(CONTRACT["ReadFile"], File(path="a/../b"))
    assert refused.value.code is Code.UNIMPLEMENTED
    with pytest.raises(StatusError):
        http_call(CONTRACT["Unmapped"], CONTRACT["Unmapped"].request_class())


def test_a_prefix_stands_before_the_path() -> None:
    assert http_call(CONTRACT["GetBook"], GetBookRequest(id=5), "/api").target == "/api/v1/books/5"


def test_an_answer_becomes_the_message_or_the_error() -> None:
    call = http_call(CONTRACT["GetBook"], GetBookRequest(id=5))
    assert call.answer(200, b'{"id":5,"newField":1}') == Book(id=5)
    with pytest.raises(StatusError) as refused:
        call.answer(404, b'{"code":5,"message":"book 99 does not exist","details":[]}')
    assert (refused.value.code, refused.value.message) == (Code.NOT_FOUND, "book 99 does not exist")
    titles = http_call(CONTRACT["ListTitles"], CONTRACT["ListTitles"].request_class())
    assert titles.answer(200, b'["Emma"]') == Titles(titles=["Emma"])
    raw = http_call(CONTRACT["Download"], File(path="a")).answer(200, b"\x00", "image/png")
    assert raw == HttpBody(content_type="image/png", data=b"\x00")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"<html>", Code.INTERNAL),
        (200, b'{"id":"x"}', Code.INTERNAL),
        (302, b"", Code.UNKNOWN),
        (404, b"<html>", Code.NOT_FOUND),
        (502, b'{"error":1}', Code.UNAVAILABLE),
        (500, b"[1]", Code.INTERNAL),
        (503, b'{"code":0,"message":""}', Code.UNAVAILABLE),
        (418, b'{"code":99,"message":""}', Code.FAILED_PRECONDITION),
    ],
)
def test_an_answer_that_is_neither_counts_by_its_status(status: int, body: bytes, code: Code) -> None:
    with pytest.raises(StatusError) as refused:
        http_call(CONTRACT["GetBook"], GetBookRequest(id=5)).answer(status, body)
    assert refused.value.code is code


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
INT32 = st.integers(-(2**31), 2**31 - 1)
PLAIN = {
    "int32Value": INT32,
    "int64Value": st.integers(-(2**63), 2**63 - 1).map(str),
    "uint64Value": st.integers(0, 2**64 - 1).map(str),
    "floatValue": (
        # json_format refuses its own spelling of the greatest float.
        st.floats(-(2.0**126), 2.0**126, width=32) | st.sampled_from(["Infinity", "-Infinity"])
    ),
    "doubleValue": st.floats(allow_nan=False, allow_infinity=False),
    "boolValue": st.booleans(),
    "stringValue": TEXT,
    "bytesValue": st.sampled_from(["", "AA==", "+/8="]),
    "kind": st.sampled_from(["UNKNOWN", "POEM", 9]),
    "strings": st.lists(TEXT, max_size=3),
    "numbers": st.lists(INT32, max_size=3),
    "labels": st.dictionaries(TEXT, TEXT, max_size=2),
    "choiceText": TEXT,
    "maybe": INT32,
    "at": st.sampled_from(["2026-11-23T01:02:03.000000005Z", "1970-01-01T00:00:00Z"]),
    "lasting": st.sampled_from(["0s", "-1.5s"]),
    "mask": st.sampled_from(["", "a.bC,d"]),
    "wrappedInt": st.sampled_from(["0", "5"]),
    "wrappedText": TEXT,
    "struct": st.dictionaries(TEXT, st.none() | st.booleans() | TEXT, max_size=2),
}
EVERYTHING = st.fixed_dictionaries({}, optional=PLAIN).flatmap(
    lambda outer: st.fixed_dictionaries({}, optional={"nested": st.fixed_dictionaries({}, optional=PLAIN)}).map(
        lambda inner: {**outer, **inner}
    )
)


@settings(deadline=None)
@given(EVERYTHING, st.integers(0, 4))
def test_what_was_filled_is_read_back_as_the_same_message(content: Any, which: Any) -> None:
    request = ParseDict(content, Everything())
    method = CONTRACT["Echo"]
    binding = method.bindings[which]
    try:
        call = http_call(replace(method, bindings=(binding,)), request)
    except StatusError:
        # A set and empty message has no words in a query; a body has words for all.
        assert which != 0
        return
    path, _, query = call.target.partition("?")
    endpoint, values = ROUTER.find(binding.http_method, path)
    assert endpoint.request(values, query, call.body or b"") == request
