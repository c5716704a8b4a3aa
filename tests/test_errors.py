"""The table between gRPC codes and HTTP statuses, written out; both transports follow it."""

from __future__ import annotations

import grpc
import pytest

from mesh.errors import HTTP_STATUS, Code, MeshError, StatusError, UsageError, code_of_status

#: As google/rpc/code.proto gives it: number, name, HTTP status.
TABLE = [
    (0, "OK", 200),
    (1, "CANCELLED", 499),
    (2, "UNKNOWN", 500),
    (3, "INVALID_ARGUMENT", 400),
    (4, "DEADLINE_EXCEEDED", 504),
    (5, "NOT_FOUND", 404),
    (6, "ALREADY_EXISTS", 409),
    (7, "PERMISSION_DENIED", 403),
    (8, "RESOURCE_EXHAUSTED", 429),
    (9, "FAILED_PRECONDITION", 400),
    (10, "ABORTED", 409),
    (11, "OUT_OF_RANGE", 400),
    (12, "UNIMPLEMENTED", 501),
    (13, "INTERNAL", 500),
    (14, "UNAVAILABLE", 503),
    (15, "DATA_LOSS", 500),
    (16, "UNAUTHENTICATED", 401),
]


def test_the_table_is_that_of_code_proto() -> None:
    assert [(int(code), code.name, HTTP_STATUS[code]) for code in Code] == TABLE


def test_the_codes_are_those_of_grpc() -> None:
    assert {code.name: code.value[0] for code in grpc.StatusCode} == {name: number for number, name, _ in TABLE}


@pytest.mark.parametrize(("status", "code"), [
    (200, "OK"),
    (204, "OK"),
    (302, "OK"),
    (400, "INVALID_ARGUMENT"),
    (401, "UNAUTHENTICATED"),
    (402, "FAILED_PRECONDITION"),
    (403, "PERMISSION_DENIED"),
    (404, "NOT_FOUND"),
    (405, "UNIMPLEMENTED"),
    (408, "DEADLINE_EXCEEDED"),
    (409, "ABORTED"),
    (413, "INVALID_ARGUMENT"),
    (415, "INVALID_ARGUMENT"),
    (418, "FAILED_PRECONDITION"),
    (429, "RESOURCE_EXHAUSTED"),
    (499, "CANCELLED"),
    (500, "INTERNAL"),
    (501, "UNIMPLEMENTED"),
    (502, "UNAVAILABLE"),
    (503, "UNAVAILABLE"),
    (504, "DEADLINE_EXCEEDED"),
    (507, "UNKNOWN"),
])  # fmt: skip
def test_an_http_status_without_a_code_stands_for_one(status: int, code: str) -> None:
    assert code_of_status(status).name == code


@pytest.mark.parametrize(("number", "name", "status"), TABLE)
def test_a_status_error_has_the_tables_status_unless_http_is_more_exact(number: int, name: str, status: int) -> None:
    assert StatusError(Code[name], "text").http_status == status
    assert StatusError(Code[name], "text", http_status=418).http_status == 418
    assert str(StatusError(Code(number), "text")) == f"{name}: text"


def test_what_mesh_raises_says_how_a_command_ends() -> None:
    assert (MeshError("m").exit_status, UsageError("u").exit_status) == (1, 2)
    assert isinstance(StatusError(Code.INTERNAL, "s"), MeshError)
