from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from library_pb2 import Everything

from mesh.contract.protojson.query import Query
from mesh.contract.protojson.scalars import Mismatch


def read(query: str, bound: Any = (), reject_unknown: Any = True) -> dict[str, Any]:
    message = Everything()
    Query(Everything.DESCRIPTOR, bound, reject_unknown).read(query, message)
    return MessageToDict(message)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("int32_value=-5&uint64Value=18446744073709551615", {"int32Value": -5, "uint64Value": "18446744073709551615"}),
        ("double_value=1e3&float_value=-.5", {"doubleValue": 1000.0, "floatValue": -0.5}),
        ("double_value=NaN", {"doubleValue": "NaN"}),
        ("bool_value=true&string_value=a+b%2B%C3%A9", {"boolValue": True, "stringValue": "a b+é"}),
        ("string_value=&maybe=0", {"maybe": 0}),
        ("bytes_value=-_8=", {"bytesValue": "+/8="}),
        ("bytes_value=%2B/8", {"bytesValue": "+/8="}),
        *((f"bool_value={word}", {"boolValue": True}) for word in ("1", "t", "T", "True", "TRUE")),
        *((f"maybe=1&bool_value={word}", {"maybe": 1}) for word in ("0", "f", "F", "False", "FALSE")),
        ("int32_value=%2B5&uint32_value=%2B5", {"int32Value": 5, "uint32Value": 5}),
        ("double_value=%2B.5e%2B1", {"doubleValue": 5.0}),
        ("string_value=a%00b", {"stringValue": "a\0b"}),
        ("kind=POEM&kinds=1&kinds=UNKNOWN", {"kind": "POEM", "kinds": ["NOVEL", "UNKNOWN"]}),
        (
            "nested.nested.stringValue=x&nested.int32_value=1",
            {"nested": {"nested": {"stringValue": "x"}, "int32Value": 1}},
        ),
        ("strings=b&strings=a&numbers=2", {"strings": ["b", "a"], "numbers": [2]}),
        ("labels[a.b]=1&labels[c]=", {"labels": {"a.b": "1", "c": ""}}),
        ("at=2026-11-23T01:02:03.5Z&lasting=1.5s", {"at": "2026-11-23T01:02:03.500Z", "lasting": "1.500s"}),
        ("mask=string_value,kind", {"mask": "stringValue,kind"}),
        ("float_value=3.4028235e%2B38", {"floatValue": 3.4028235e38}),
        ("mask=stringValue,nested.int32Value", {"mask": "stringValue,nested.int32Value"}),
        (
            "wrapped_int=0&wrapped_text=&wrapped_bool=false",
            {"wrappedInt": "0", "wrappedText": "", "wrappedBool": False},
        ),
        ('struct={"a":[1]}&value=null', {"struct": {"a": [1.0]}, "value": None}),
        (
            "times=2026-11-23T00:00:00Z&times=2026-11-24T00:00:00Z",
            {"times": ["2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"]},
        ),
        ("choice_author.first_name=A&choice_author.last_name=B", {"choiceAuthor": {"firstName": "A", "lastName": "B"}}),
    ],
)
def test_parameters_become_fields(query: Any, expected: Any) -> None:
    assert read(query) == expected


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("int32_value=x", "int32_value is not an integer: 'x'"),
        ("int32_value=1.0", "int32_value is not an integer: '1.0'"),
        ("int32_value=1_000", "int32_value is not an integer: '1_000'"),
        ("int32_value=%D9%A3", "int32_value is not an integer: '٣'"),
        ("int32_value=2147483648", "int32_value is out of range: 2147483648"),
        ("int64_value=9223372036854775808", "int64_value is out of range: 9223372036854775808"),
        ("uint32_value=-1", "uint32_value is out of range: -1"),
        ("double_value=1e999", "double_value is out of range: '1e999'"),
        ("float_value=1e39", "float_value is out of range: '1e39'"),
        ("double_value=inf", "double_value is not a number: 'inf'"),
        ("double_value=0x1p-2", "double_value is not a number: '0x1p-2'"),
        ("int32_value=++5", "int32_value is not an integer: '  5'"),
        ("bool_value=yes", "bool_value is neither true nor false: 'yes'"),
        ("bool_value=tRUE", "bool_value is neither true nor false: 'tRUE'"),
        ("kind=EPIC", "kind is not one of UNKNOWN, NOVEL, POEM: 'EPIC'"),
        ("bytes_value=$$$", "bytes_value is not base64: '$$$'"),
        ("string_valu=x", "string_valu is not a query parameter of this method; did you mean 'stringValue'?"),
        ("string_value.x=1", "string_value.x is not a query parameter of this method; did you mean 'stringValue'?"),
        ("string_value=a&stringValue=b", "stringValue is given twice"),
        ("choice_text=a&choice_number=1", "choice_number excludes choice_text: a message holds one of them"),
        (
            "choice_number=1&choice_author.first_name=a",
            "choice_author.first_name excludes choice_number: a message holds one of them",
        ),
        ("any.typeUrl=x", "any.typeUrl cannot stand in a query"),
        ("nested=x", "nested cannot stand in a query"),
        ("authors.first_name=x", "authors.first_name is not a query parameter of this method"),
        ("labels=x", "labels cannot stand in a query"),
        ("string_value=%zz", "string_value has an invalid escape '%zz'"),
        ("string_value=%FF", "string_value has escapes that are not UTF-8"),
        ("string_value%zz=1", "the query has an invalid escape '%zz'"),
        ("struct={", "struct is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        ("value=NaN", 'value holds a bare NaN; write "NaN" in quotes'),
        (".=1", ". is not a query parameter of this method"),
        ("nested." * 200 + "int32_value=1", None),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(query: str, reason: str | None) -> None:
    with pytest.raises(Mismatch) as refused:
        read(query)
    assert reason is None or str(refused.value) == reason


def test_what_the_path_or_the_body_binds_is_not_the_querys() -> None:
    bound = [("nested", "int32_value"), ("string_value",)]
    for query in ("string_value=x", "nested.int32Value=1"):
        with pytest.raises(Mismatch, match="the path or the body binds it"):
            read(query, bound)
    assert read("nested.string_value=x", bound) == {"nested": {"stringValue": "x"}}
    assert read("string_value=x&maybe=1", bound, reject_unknown=False) == {"maybe": 1}


def test_unknown_names_can_be_passed_over() -> None:
    assert read("utm=1&int32_value=2", reject_unknown=False) == {"int32Value": 2}
