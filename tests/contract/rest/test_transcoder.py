from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2
from library_pb2 import Book, Everything, Shelf
from library_pb2_grpc import LibraryServicer

from mesh.context import Call, current_call
from mesh.contract import ServicerBackend, Transcoder, collect_handlers, error_response, http_call
from mesh.errors import HTTP_STATUS, Code, StatusError
from tests.contract import library
from tests.contract.asking import ask

APP = library.app()
LENIENT = library.app(unknown_fields="ignore")


def error(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "details": []}


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "expected"),
    [
        ("GET", "/v1/books/5", b"", 200, {"id": 5, "title": "Emma", "isbn": ""}),
        ("GET", "/v1/books/5?isbn=x%2Fy", b"", 200, {"id": 5, "title": "Emma", "isbn": "x/y"}),
        ("GET", "/v1/isbn/978", b"", 200, {"id": 0, "title": "Emma", "isbn": "978"}),
        ("GET", "/v1/titles", b"", 200, ["Emma", "Ulysses"]),
        ("POST", "/v1/books", b'{"title":"Zo\xc3\xab"}', 201, {"id": 7, "title": "Zoë", "isbn": ""}),
        ("PATCH", "/v1/books/4", b'{"title":"T","id":9}', 200, {"id": 4, "title": "T", "isbn": ""}),
        ("DELETE", "/v1/books/4", b"", 200, {}),
        ("POST", "/v1/books/4:archive", b"", 200, {"id": 4, "title": "archived", "isbn": ""}),
        ("GET", "/v1/shelves/a%2Fb", b"", 200, {"name": "shelves/a%2Fb"}),
        ("GET", "/v1/files/a/b%20c", b"", 200, {"path": "a/b c"}),
        ("GET", "/v1/books/99", b"", 404, error(5, "book 99 does not exist")),
        ("GET", "/v1/books/x", b"", 400, error(3, "id is not an integer: 'x'")),
        ("GET", "/v1/books/4294967296", b"", 400, error(3, "id is out of range: 4294967296")),
        ("GET", "/v1/books/-1", b"", 200, {"id": -1, "title": "Emma", "isbn": ""}),
        ("GET", "/v1/books/5?id=6", b"", 400, error(3, "id is not a query parameter: the path or the body binds it")),
        ("GET", "/v1/books/5?q=6", b"", 400, error(3, "q is not a query parameter of this method")),
        ("GET", "/v1/unknown", b"", 404, error(5, "no rule for the path /v1/unknown")),
        ("GET", "/v1/books/", b"", 404, error(5, "no rule for the path /v1/books/")),
        ("PUT", "/v1/books/5", b"", 405, error(12, "PUT is not allowed for /v1/books/5")),
        ("TRACE", "/v1/titles", b"", 405, error(12, "TRACE is not allowed for /v1/titles")),
        ("POST", "/v1/books", b'{"titel":1}', 400, error(3, "book.titel is not a known field; did you mean 'title'?")),
        ("POST", "/v1/books", b'{"author":[]}', 400, error(3, "book.author must be a JSON object, not an array")),
        ("POST", "/v1/books", b"[" * 100_000, 400, error(3, "the body is nested deeper than 100 levels")),
        ("POST", "/v1/shelves", b"[]", 400, error(3, "the body must be a JSON object, not an array")),
    ],
)  # fmt: skip
def test_a_request_is_answered_as_its_rule_says(
    method: str, target: str, body: bytes, status: int, expected: Any
) -> None:
    answered = ask(APP, method, target, body)
    assert (answered.status, answered.json) == (status, expected)
    assert answered.headers["content-type"] == "application/json"
    assert int(answered.headers["content-length"]) == len(answered.body)


def test_json_is_compact_in_utf8_with_defaults() -> None:
    assert ask(APP, "POST", "/v1/books", '{"title":"Zoë"}'.encode()).body == '{"id":7,"title":"Zoë","isbn":""}'.encode()


@pytest.mark.parametrize("body", [b"", b" \n\t"])
def test_a_blank_body_says_nothing(body: bytes) -> None:
    assert ask(APP, "POST", "/v1/books", body).status == 201
    assert ask(APP, "POST", "/v1/echo", body).json["int32Value"] == 0


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_any_content_type_is_taken(content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert ask(APP, "POST", "/v1/books", b'{"title":"x"}', headers).status == 201


def test_create_answers_201_with_the_location_below_every_mount() -> None:
    mounted = library.app(prefix="/api")
    assert ask(APP, "POST", "/v1/books", b"{}").headers["location"] == "/v1/books/7"
    answered = ask(mounted, "POST", "/root/api/v1/books", b"{}", root_path="/root")
    assert (answered.status, answered.headers["location"]) == (201, "/root/api/v1/books/7")
    shelf = ask(APP, "POST", "/v1/shelves", b'{"name":"shelves/a b"}')
    assert (shelf.status, shelf.headers["location"]) == (201, "/v1/shelves/a%20b")
    assert "location" not in ask(APP, "POST", "/v1/shelves", b'{"name":"none"}').headers


def test_a_prefix_is_part_of_every_path() -> None:
    mounted = library.app(prefix="/api/")
    assert ask(mounted, "GET", "/api/v1/books/5").status == 200
    assert [ask(mounted, "GET", path).status for path in ("/v1/books/5", "/apiv1/books/5", "/api")] == [404] * 3


def test_head_is_get_without_the_body_and_options_names_the_methods() -> None:
    head = ask(APP, "HEAD", "/v1/books/5")
    assert (head.status, head.headers["content-length"], head.body) == (200, "33", b"")
    options = ask(APP, "OPTIONS", "/v1/books/5")
    assert (options.status, options.headers, options.body) == (204, {"allow": "DELETE, GET, HEAD, OPTIONS, PATCH"}, b"")
    assert ask(APP, "OPTIONS", "/v1/unknown").status == 404
    assert ask(APP, "PUT", "/v1/books/5").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"


def test_custom_methods_are_methods_like_others() -> None:
    assert ask(APP, "REPORT", "/v1/echo?maybe=3").json["maybe"] == 3
    assert ask(APP, "BREW", "/v1/anything?maybe=3").json["maybe"] == 3


ECHOES = [
    {"int64Value": "-9223372036854775808", "uint64Value": "18446744073709551615", "doubleValue": "NaN"},
    {"kind": "POEM", "kinds": ["NOVEL", 7], "bytesValue": "+/8="},
    {"stringValue": "\u0000\U0001f600", "authors": [{"firstName": "A", "lastName": ""}]},
    {"labels": {"a": "b", "": ""}, "authorsById": {"-1": {"firstName": "", "lastName": "L"}}},
    {"choiceAuthor": {"firstName": "x", "lastName": ""}, "maybe": 0},
    {"at": "2026-11-23T01:02:03.500Z", "lasting": "-1.500s", "mask": "a.b,cD"},
    {"wrappedInt": "0", "wrappedText": "", "wrappedBool": False},
    {"struct": {"a": [1.5, None, {"b": True}]}, "value": [None], "times": ["1970-01-01T00:00:00Z"]},
    {"any": {"@type": "type.googleapis.com/library.v1.Shelf", "name": "s"}},
    {"anys": {"a": {"@type": "type.googleapis.com/google.protobuf.BytesValue", "value": "AQI="}}},
    {"floatValue": 3.4028235e38, "wrappedFloat": -3.4028235e38, "doubleValue": 3.4028235e38},
    {"nothing": None},
]


@pytest.mark.parametrize("said", ECHOES, ids=lambda said: "-".join(said))
def test_every_kind_of_field_comes_back_as_it_was_said(said: Any) -> None:
    answered = ask(APP, "POST", "/v1/echo", json.dumps(said).encode())
    assert answered.status == 200
    assert {name: answered.json[name] for name in said} == said


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('{"int32Value":true}', "int32Value must be an integer, not true"),
        ('{"int32Value":"1_0"}', "int32Value must be an integer, not the string '1_0'"),
        ('{"int32Value":1.5}', "int32Value must be an integer, not 1.5"),
        ('{"int32Value":2147483648}', "int32Value must be between -2147483648 and 2147483647"),
        ('{"uint32Value":-1}', "uint32Value must be between 0 and 4294967295"),
        ('{"doubleValue":true}', "doubleValue must be a number, not true"),
        ('{"doubleValue":"inf"}', "doubleValue is not a number: 'inf'"),
        ('{"floatValue":1e39}', "floatValue is out of range: '1e+39'"),
        ('{"boolValue":"true"}', "boolValue must be true or false, not the string 'true'"),
        ('{"stringValue":1}', "stringValue must be a string, not a number"),
        ('{"bytesValue":"$"}', "bytesValue is not base64: '$'"),
        ('{"kind":"EPIC"}', "kind must be one of UNKNOWN, NOVEL, POEM, not 'EPIC'"),
        ('{"kind":1.5}', "kind must be an integer, not 1.5"),
        ('{"strings":"x"}', "strings must be an array, not the string 'x'"),
        ('{"strings":["a",null]}', "strings[1] must be a string, not null"),
        ('{"authors":[{},{"lastNam":""}]}', "authors[1].lastNam is not a known field; did you mean 'lastName'?"),
        ('{"nested":""}', "nested must be a JSON object, not the string ''"),
        ('{"labels":[]}', "labels must be a JSON object, not an array"),
        ('{"labels":{"k":1}}', "labels['k'] must be a string, not a number"),
        ('{"int32Value":1,"int32_value":1}', "int32_value is given twice, also as int32Value"),
        ('{"at":5}', "at must be a string, not a number"),
        ('{"struct":[]}', "struct must be a JSON object, not an array"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_400_naming_its_place(said: str, reason: str) -> None:
    answered = ask(APP, "POST", "/v1/echo", said.encode())
    assert (answered.status, answered.json) == (400, error(3, reason))


@pytest.mark.parametrize(
    "said",
    [
        '{"at":"yesterday"}',
        '{"lasting":"1h"}',
        '{"authorsById":{"x":{}}}',
        '{"choiceText":"a","choiceNumber":1}',
        '{"any":{"@type":"type.googleapis.com/no.Such"}}',
        '{"any":{"@type":"type.googleapis.com/google.protobuf.Duration"}}',
        '{"any":{"@type":5}}',
        '{"value":' + "[" * 90 + "]" * 90 + "}",
        '{"value":' + "[" * 51 + "]" * 51 + "}",
        '{"struct":' + '{"a":' * 34 + "1" + "}" * 35,
        '{"struct":{"a":' + "1" * 400 + "}}",
        '{"wrappedInt":{}}',
        "null",
        '""',
    ],
)
def test_what_no_message_can_hold_is_400(said: str) -> None:
    assert ask(APP, "POST", "/v1/echo", said.encode()).status == 400


def test_a_struct_is_as_deep_as_protobuf_reads_it_again() -> None:
    def nested(levels: int) -> bytes:
        return ('{"struct":' + '{"a":' * levels + "1" + "}" * (levels + 1)).encode()

    assert ask(APP, "POST", "/v1/echo", nested(32)).status == 200
    reason = "the body is nested too deeply: protobuf reads 100 messages within one another"
    assert ask(APP, "POST", "/v1/echo", nested(34)).json == error(3, reason)


def test_unknown_fields_and_parameters_can_be_ignored() -> None:
    assert ask(LENIENT, "POST", "/v1/books?q=1", b'{"titel":1,"title":"x"}').json["title"] == "x"
    assert ask(LENIENT, "GET", "/v1/books/5?id=6").json["id"] == 5


def test_the_path_wins_over_the_body() -> None:
    body = b'{"int64Value":"2"}'
    assert ask(APP, "PUT", "/v1/echo/1", body).json["int64Value"] == "1"
    assert ask(APP, "PATCH", "/v1/books/4", b'{"id":9}').json["id"] == 4


@pytest.mark.parametrize(
    ("method", "target", "body", "reason"),
    [
        ("POST", "/v1/choices/a?choice_number=1", b"", "choice_text excludes choice_number"),
        ("POST", "/v1/choices/a", b"{}", "choice_text excludes choice_author"),
        ("POST", "/v1/choices/a?choice_number=1", b"{}", "choice_number excludes choice_author"),
        ("PUT", "/v1/choices/a", b'{"choiceNumber":0}', "choice_author.last_name excludes choice_number"),
        ("POST", "/v1/echo", b'{"choiceText":"a","choice_number":0}', "choice_number excludes choiceText"),
        (
            "POST",
            "/v1/echo",
            b'{"nested":{"choiceNumber":0,"choiceAuthor":{}}}',
            "nested.choiceAuthor excludes choiceNumber",
        ),
        ("PUT", "/v1/echo/1?nested.choiceNumber=1", b'{"choiceText":"a"}', None),
    ],
)
def test_members_of_one_oneof_exclude_each_other_wherever_they_come_from(
    method: str, target: str, body: bytes, reason: str | None
) -> None:
    answered = ask(APP, method, target, body)
    if reason is None:
        # What the body binds is not the query's, member of a oneof or not.
        reason = "nested.choiceNumber is not a query parameter: the path or the body binds it"
    else:
        reason += ": a message holds one of them"
    assert (answered.status, answered.json) == (400, error(3, reason))


def test_one_member_of_a_oneof_may_come_in_parts() -> None:
    assert ask(APP, "POST", "/v1/choices/a", b"").json["choiceText"] == "a"
    said = ask(APP, "PUT", "/v1/choices/L", b'{"choiceAuthor":{"firstName":"F"}}').json["choiceAuthor"]
    assert said == {"firstName": "F", "lastName": "L"}


def test_path_values_are_read_as_in_queries_and_named_in_errors() -> None:
    read = ask(APP, "GET", "/v1/flags/TRUE/+5").json
    assert (read["boolValue"], read["int32Value"]) == (True, 5)
    assert ask(APP, "GET", "/v1/flags/no/5").json == error(3, "bool_value is neither true nor false: 'no'")


def test_null_is_a_value_of_value_fields_alone() -> None:
    assert ask(APP, "PUT", "/v1/value", b"null").json["value"] is None
    assert "value" not in ask(APP, "PUT", "/v1/value", b"").json
    assert ask(APP, "PUT", "/v1/nothing", b"null").json["nothing"] is None
    assert ask(APP, "PUT", "/v1/echo/1", b"null").json.get("nested") is None
    assert ask(APP, "POST", "/v1/echo", b'{"value":null,"nested":null}').json["value"] is None


UNKNOWN = any_pb2.Any(type_url="type.googleapis.com/no.Such", value=b"\x08\x01")
SHOWN = {"@type": "type.googleapis.com/no.Such", "value": "CAE="}


class Opaque(LibraryServicer):
    """Answers with an Any that nobody here knows, at every depth."""

    def Echo(self, request: Any, context: Any) -> Everything:
        known = any_pb2.Any()
        known.Pack(Everything(any=UNKNOWN))
        return Everything(nested=Everything(any=UNKNOWN), anys={"a": UNKNOWN, "b": known, "c": any_pb2.Any()})


def test_an_any_of_an_unknown_type_is_shown_with_its_type_and_base64() -> None:
    answered = ask(library.app(Opaque), "GET", "/v1/echo")
    assert (answered.status, answered.json["nested"]["any"]) == (200, SHOWN)
    anys = answered.json["anys"]
    known = anys.pop("b")
    assert anys == {"a": SHOWN, "c": {}}
    assert (known["@type"], known["any"]) == ("type.googleapis.com/library.v1.Everything", SHOWN)


def test_an_any_of_an_unknown_type_is_read_back_from_an_answer() -> None:
    call = http_call(library.contract()["Echo"], Everything())
    answered = ask(library.app(Opaque), "GET", "/v1/echo")
    assert call.answer(200, answered.body) == Opaque().Echo(None, None)
    # A type that this side knows, and that side did not.
    other = b'{"any":{"@type":"type.googleapis.com/library.v1.Shelf","value":"CgFz"}}'
    answer: Any = call.answer(200, other)
    assert answer.any.value == Shelf(name="s").SerializeToString()


def test_an_any_of_an_unknown_type_in_a_request_is_400() -> None:
    body = json.dumps({"any": SHOWN}).encode()
    reason = "an Any holds the type type.googleapis.com/no.Such, which is not known here"
    answered = ask(APP, "POST", "/v1/echo", body)
    assert (answered.status, answered.json) == (400, error(3, reason))


def test_an_unknown_type_within_an_error_detail_is_shown_too() -> None:
    detail = Everything(any=UNKNOWN)
    shown = json.loads(error_response(StatusError(Code.ABORTED, "x", [detail])).body)["details"][0]
    assert shown["any"] == SHOWN


def test_http_body_passes_raw_both_ways() -> None:
    got = ask(APP, "GET", "/v1/raw/a/b")
    assert (got.headers["content-type"], got.body) == ("text/plain", b"a/b")
    sent = ask(APP, "POST", "/v1/raw/a", b"{not json", {"content-type": "image/PNG; q=A"})
    assert sent.json == {"path": "a: image/PNG; q=A, 9 bytes"}


def test_a_body_over_the_limit_is_413_before_it_is_read() -> None:
    small = library.app(max_body=10)
    announced = ask(small, "POST", "/v1/books", b"", {"content-length": "11"})
    assert (announced.status, announced.json["message"]) == (413, "the body is larger than 10 bytes")
    assert ask(small, "POST", "/v1/books", b"x" * 11).status == 413
    bomb = gzip.compress(b" " * 1_000_000)
    assert ask(library.app(max_body=len(bomb)), "POST", "/v1/books", bomb, {"content-encoding": "gzip"}).status == 413


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(b'{"title":"x"}'), 201),
        ("GZIP", gzip.compress(b'{"title":') + gzip.compress(b'"x"}'), 201),
        ("identity", b'{"title":"x"}', 201),
        ("gzip", b'{"title":"x"}', 400),
        ("gzip", gzip.compress(b'{"title":"x"}')[:-9], 400),
        ("deflate", zlib.compress(b"{}"), 415),
        ("br", b"{}", 415),
    ],
    ids=["gzip", "two members", "identity", "plain", "cut off", "deflate", "br"],
)
def test_a_body_may_be_gzip_and_nothing_else(encoding: str, body: Any, status: int) -> None:
    assert ask(APP, "POST", "/v1/books", body, {"content-encoding": encoding}).status == status


@pytest.mark.parametrize("timeout", ["0m", "0H", "x", "1", "123456789S", "-1S", "1.5S", ""])
def test_a_deadline_that_is_over_is_504_and_a_wrong_one_400_without_a_call(timeout: str) -> None:
    asked = []

    class Asked(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> None:
            asked.append(request)

    status = ask(library.app(Asked), "GET", "/v1/books/1", b"", {"grpc-timeout": timeout}).status
    assert (status, asked) == (504 if timeout.startswith("0") else 400, [])


def test_a_call_in_hand_says_the_deadline() -> None:
    class Remaining(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> Book:
            return Book(title="some" if 0 < context.time_remaining() <= 60 else "none")

    token = current_call.set(Call("0" * 32, "0" * 16, deadline=time.monotonic() + 60))
    try:
        answered = ask(library.app(Remaining), "GET", "/v1/books/1", b"", {"grpc-timeout": "0m"})
    finally:
        current_call.reset(token)
    assert answered.json["title"] == "some"


def test_a_handler_that_outlives_the_deadline_is_504() -> None:
    release = threading.Event()

    class Slow(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> Book:
            release.wait(10)
            return Book()

    with ThreadPoolExecutor(1) as executor:
        handlers = collect_handlers([Slow])
        slow = Transcoder(handlers.contract(), ServicerBackend(handlers.by_path, executor))
        answered = ask(slow, "GET", "/v1/books/1", b"", {"grpc-timeout": "20m"})
        release.set()
    assert (answered.status, answered.json) == (504, error(4, "the deadline has passed"))


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_every_code_has_its_http_status(code: Any) -> None:
    class Failing(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> None:
            raise StatusError(code, "why")

    answered = ask(library.app(Failing), "GET", "/v1/books/1")
    assert (answered.status, answered.json["code"]) == (HTTP_STATUS[code], int(code))


def test_retry_after_is_said_with_429_and_503() -> None:
    hint = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=2, nanos=1))
    headers = dict(error_response(StatusError(Code.UNAVAILABLE, "x", [hint])).headers)
    assert headers[b"retry-after"] == b"3"
    assert dict(error_response(StatusError(Code.RESOURCE_EXHAUSTED, "x")).headers)[b"retry-after"] == b"1"
    assert b"retry-after" not in dict(error_response(StatusError(Code.INTERNAL, "x")).headers)


def test_details_are_printed_with_their_types() -> None:
    details = [error_details_pb2.ErrorInfo(reason="R", domain="d"), duration_pb2.Duration(seconds=1)]
    assert error_response(StatusError(Code.ABORTED, 'a "q"\n% 😀', details)).body.decode() == (
        '{"code":10,"message":"a \\"q\\"\\n% 😀","details":['
        '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"d"},'
        '{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}]}'
    )


def test_only_allowed_headers_become_metadata_and_only_allowed_metadata_headers() -> None:
    class Telling(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> Book:
            context.send_initial_metadata((("etag", '"1"'), ("x-secret", "s"), ("cache-control", "a\r\nb")))
            context.set_trailing_metadata((("server-timing", "db;dur=1"),))
            return Book(title=repr(sorted(context.invocation_metadata())))

    sent = {
        "authorization": "Bearer t",
        "cookie": "c",
        "grpc-metadata-tenant": "x",
        "grpc-metadata-grpc-status": "0",
        "grpc-metadata-key-bin": "AAE",
    }
    answered = ask(library.app(Telling), "GET", "/v1/books/1", b"", sent)
    assert answered.json["title"] == "[('authorization', 'Bearer t'), ('key-bin', b'\\x00\\x01'), ('tenant', 'x')]"
    assert {name: answered.headers.get(name) for name in ("etag", "server-timing", "x-secret", "cache-control")} == {
        "etag": '"1"',
        "server-timing": "db;dur=1",
        "x-secret": None,
        "cache-control": None,
    }


@pytest.mark.parametrize(
    "header", [("grpc-metadata-key-bin", "$"), ("authorization", "\xe9"), ("grpc-metadata-a!", "x")]
)
def test_a_header_that_metadata_cannot_carry_is_400(header: tuple[Any, ...]) -> None:
    assert ask(APP, "GET", "/v1/books/1", b"", dict([header])).status == 400


def test_what_a_servicer_raises_by_itself_passes_through() -> None:
    class Broken(LibraryServicer):
        def GetBook(self, request: Any, context: Any) -> None:
            raise ZeroDivisionError

        def ReadFile(self, request: Any, context: Any) -> None:
            return None

    with pytest.raises(ZeroDivisionError):
        ask(library.app(Broken), "GET", "/v1/books/1")
    with pytest.raises(TypeError, match=r"library\.v1\.Library\.ReadFile returned NoneType, not File"):
        ask(library.app(Broken), "GET", "/v1/files/x")


def test_a_method_nobody_wrote_is_501() -> None:
    answered = ask(library.app(LibraryServicer), "GET", "/v1/books/1")
    assert (answered.status, answered.json) == (501, error(12, "Method not implemented!"))


def test_the_paths_of_a_contract_can_be_asked_for() -> None:
    assert APP.matches({"raw_path": b"/v1/books/1", "path": "/v1/books/1"})
    assert not APP.matches({"raw_path": b"/v2", "path": "/v2"})
    assert not APP.matches({"raw_path": b"/docs", "path": "/docs"})
    assert library.app(prefix="/api").matches({"raw_path": b"/api/docs", "path": "/api/docs"})
