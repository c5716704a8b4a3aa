from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.contract import parse_json
from mesh.errors import Code, StatusError


def refusal(body: Any, **options: Any) -> Any:
    with pytest.raises(StatusError) as refused:
        parse_json(body, **options)
    assert refused.value.code is Code.INVALID_ARGUMENT
    return refused.value.message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not JSON: Expecting value at line 1, column 1"),
        (b'{"a":1,}', "is not JSON: Illegal trailing comma before end of object at line 1, column 7"),
        (b'{\n "a": tru}', "is not JSON: Expecting value at line 2, column 7"),
        (b"[1]]", "is not JSON: Extra data at line 1, column 4"),
        (b'["\x01"]', "is not JSON: Invalid control character at at line 1, column 3"),
        (b'[NaN, "NaN"]', 'holds a bare NaN; write "NaN" in quotes'),
        (b"-Infinity", 'holds a bare -Infinity; write "-Infinity" in quotes'),
        (b'{"a":{"b":1,"c":2,"b":3}}', 'has the name "b" twice in one object'),
        (b'{"a":"\xff"}', "is not UTF-8: byte 0xff at offset 6"),
        (b"\xef\xbb\xbf{}", "starts with a byte order mark; send UTF-8 without one"),
        ('{"a":1}'.encode("utf-16"), "starts with a byte order mark; send UTF-8 without one"),
        (b'{"a":\n"\\ud800"}', "has the lone surrogate \\ud800 at line 2, column 2"),
        (b'["\\ud83d\\ude00", "\\\\ud800", "x\\udc00"]', "has the lone surrogate \\udc00 at line 1, column 31"),
        (b'{"\\uD800":1}', "has the lone surrogate \\uD800 at line 1, column 3"),
        (b"[1, -1e999]", "holds a number out of range: -1e999"),
        (b"1" * 400 + b".5", f"holds a number out of range: {'1' * 37}..."),
        (b"1" * 5000, "holds a number of too many digits"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(body: Any, reason: str) -> None:
    message = refusal(body)
    if "trailing comma" in reason:  # Python before 3.13 words it differently
        assert message.startswith("the body is not JSON: ")
    else:
        assert message == f"the body {reason}"


@pytest.mark.parametrize(
    "body", [b"{}", b" [1, 2.5e3, null] ", b'"\\ud83d\\ude00"', b'"\\\\ud800"', b'"\\u0000"', b"1e-999", b"1e300"]
)
def test_what_is_json_is_read_as_the_standard_library_reads_it(body: bytes) -> None:
    assert parse_json(body) == json.loads(body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("depth", [101, 1_000, 100_000])
def test_deep_nesting_is_refused(opening: bytes, depth: int) -> None:
    assert refusal(opening * depth) == "the body is nested deeper than 100 levels"


def test_a_hundred_levels_are_fine_and_brackets_in_strings_are_none() -> None:
    assert parse_json(b"[" * 100 + b"]" * 100)
    assert parse_json(json.dumps(['[{"\\' * 500] * 3).encode())


def test_many_shallow_objects_are_not_taken_for_deep_ones() -> None:
    assert len(parse_json(b"[" + b"[{}]," * 10_000 + b"0]")) == 10_001


def test_an_unterminated_string_of_quotes_is_refused() -> None:
    refusal(b"[" * 101 + b'"' + b'\\"' * 200_000)


def test_a_body_over_the_limit_is_413() -> None:
    with pytest.raises(StatusError) as refused:
        parse_json(b"[1, 2]", limit=5)
    assert (refused.value.http_status, refused.value.message) == (413, "the body is larger than 5 bytes")


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\ud8a1-.eNaIn\n', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    value = None
    with contextlib.suppress(StatusError):
        value = parse_json(body)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
