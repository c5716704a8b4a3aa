from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from mesh.contract import Contract, merge_documents, openapi
from mesh.contract.protoc import describe_protos
from mesh.contract.rest.comments import comments_of
from tests.contract import library
from tests.contract.asking import ask

DESCRIPTORS = describe_protos(Path(__file__).parents[1])
APP = library.app(descriptors=DESCRIPTORS)


def document(app: Any = APP, target: str = "/openapi.json", **more: Any) -> Any:
    answered = ask(app, "GET", target, **more)
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    return answered.json


def test_comments_are_read_by_full_name() -> None:
    comments = comments_of(DESCRIPTORS)
    assert comments["library.v1.Library"] == "What can be borrowed."
    assert comments["library.v1.Library.GetBook"] == "Returns a book.\n\nBy its id, or by its ISBN."
    assert comments["library.v1.Book.title"] == "On its cover."
    assert "library.v1.Author" not in comments
    assert comments_of(b"") == {}


def test_an_operation_is_the_rule_with_its_comment() -> None:
    get = document()["paths"]["/v1/books/{id}"]["get"]
    assert get == {
        "operationId": "library.v1.Library.GetBook",
        "tags": ["library.v1.Library"],
        "summary": "Returns a book.",
        "description": "By its id, or by its ISBN.",
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "schema": {"type": "integer", "format": "int32", "minimum": -2147483648, "maximum": 2147483647},
            },
            {"name": "isbn", "in": "query", "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {
                "description": "The answer.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/library.v1.Book"}}},
            },
            "default": {
                "description": "An error.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/google.rpc.Status"}}},
            },
        },
    }


def test_every_rule_openapi_has_words_for_is_there() -> None:
    said = {f"{verb.upper()} {path}" for path, item in document()["paths"].items() for verb in item}
    assert said == {
        "GET /v1/books/{id}",
        "GET /v1/isbn/{isbn}",
        "GET /v1/titles",
        "POST /v1/books",
        "PATCH /v1/books/{id}",
        "DELETE /v1/books/{id}",
        "POST /v1/books/{id}:archive",
        "GET /v1/shelves/{name}",
        "POST /v1/shelves",
        "GET /v1/files/{path}",
        "GET /v1/echo",
        "POST /v1/echo",
        "PUT /v1/echo/{int64_value}",
        "PUT /v1/value",
        "PUT /v1/nothing",
        "POST /v1/choices/{choice_text}",
        "PUT /v1/choices/{choice_text}",
        "GET /v1/flags/{bool_value}/{int32_value}",
        "POST /v1/{reader_id}/loans/{reader_id_}",
        "GET /v1/{reader_id}/loans/{reader_id_}",
        "GET /v1/notes",
        "GET /v1/raw/{path}",
        "POST /v1/raw/{path}",
        "GET /v1/books:watch",
        "POST /v1/books:import",
        "POST /v1/books:count",
        "POST /v1/{shelf}/books:move",
        "GET /v1/parts/{path}",
    }


def test_a_create_is_documented_with_its_location_and_a_stream_with_its_lines() -> None:
    paths = document()["paths"]
    assert list(paths["/v1/books"]["post"]["responses"]) == ["201", "default"]
    assert "Location" in paths["/v1/books"]["post"]["responses"]["201"]["headers"]
    watched = paths["/v1/books:watch"]["get"]["responses"]["200"]["content"]
    assert list(watched) == ["application/x-ndjson", "text/event-stream"]


LOAN = {
    "type": "object",
    "properties": {
        "reader": {"$ref": "#/components/schemas/library.v1.Loan.Reader"},
        "readerId": {"type": "string"},
        "title": {"type": "string"},
        "due": {"type": "string", "readOnly": True},
        "note": {"type": "string"},
    },
    "required": ["readerId", "title"],
    "additionalProperties": False,
}


def test_field_behavior_says_what_is_required_and_who_writes_it() -> None:
    described = document()
    assert described["components"]["schemas"]["library.v1.Loan"] == LOAN
    parameters = described["paths"]["/v1/notes"]["get"]["parameters"]
    assert {each["name"]: each.get("required", False) for each in parameters} == {
        "reader.id": False,
        "readerId": True,
        "title": True,
        "note": False,
    }


def test_path_parameters_have_plain_names_and_are_not_asked_for_in_the_body() -> None:
    operation = document()["paths"]["/v1/{reader_id}/loans/{reader_id_}"]["post"]
    assert [(each["name"], each["in"]) for each in operation["parameters"]] == [
        ("reader_id", "path"),
        ("reader_id_", "path"),
    ]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert (sorted(body["properties"]), body["required"]) == (["pin", "reader", "title"], ["title"])
    assert body["properties"]["pin"] == {"type": "string", "writeOnly": True}


def test_a_create_links_to_the_get_of_what_it_made() -> None:
    paths = document()["paths"]
    assert paths["/v1/books"]["post"]["responses"]["201"]["links"] == {
        "GetBook": {"operationId": "library.v1.Library.GetBook", "parameters": {"id": "$response.body#/id"}}
    }
    loan = paths["/v1/{reader_id}/loans/{reader_id_}"]["post"]["responses"]["201"]
    assert loan["links"]["GetLoan"]["parameters"] == {
        "reader_id": "$response.body#/reader/id",
        "reader_id_": "$response.body#/readerId",
    }
    # The name of a shelf spans two segments of its path: no parameter holds it.
    assert "links" not in paths["/v1/shelves"]["post"]["responses"]["201"]


def test_what_may_be_null_is_described_as_such() -> None:
    described = document()
    note = described["paths"]["/v1/notes"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert note == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert ask(APP, "GET", "/v1/notes").json is None
    fields = described["components"]["schemas"]["library.v1.Everything"]["properties"]
    assert (fields["nothing"], fields["value"]) == ({"type": "null"}, {})
    query = {each["name"]: each["schema"] for each in described["paths"]["/v1/echo"]["get"]["parameters"]}
    assert query["nothing"] == {"type": "string", "enum": ["NULL_VALUE"]}
    assert query["value"] == query["struct"] == {"type": "string", "contentMediaType": "application/json"}


def test_a_stream_is_described_as_lines() -> None:
    operation = document()["paths"]["/v1/books:import"]["post"]
    book = {"$ref": "#/components/schemas/library.v1.Book"}
    body = operation["requestBody"]["content"]["application/x-ndjson"]["schema"]
    assert (body["type"], body["contentMediaType"], body["contentSchema"]) == ("string", "application/x-ndjson", book)
    line = operation["responses"]["200"]["content"]["application/x-ndjson"]["schema"]["contentSchema"]
    assert line["oneOf"][0] == {"type": "object", "properties": {"result": book}, "required": ["result"]}


def test_documents_are_merged_under_their_servers_and_keep_their_meaning() -> None:
    library_document = document()
    other = {
        "openapi": "3.1.0",
        "info": {"title": "Other", "version": "1"},
        "servers": [{"url": "/other/"}],
        "tags": [{"name": "other"}],
        "paths": {
            "/v1/books": {
                "get": {
                    "operationId": "library.v1.Library.CreateBook",
                    "responses": {"200": {"$ref": "#/components/schemas/library.v1.Book"}},
                }
            }
        },
        "components": {"schemas": {"library.v1.Book": {"type": "string"}, "Own": {"type": "null"}}},
    }
    merged = merge_documents([library_document, other])
    assert merged["info"]["title"] == "Library, Other"
    assert merged["paths"]["/v1/books"] == library_document["paths"]["/v1/books"]
    assert merged["paths"]["/other/v1/books"]["get"] == {
        "operationId": "library.v1.Library.CreateBook_other",
        "responses": {"200": {"$ref": "#/components/schemas/library.v1.Book_other"}},
    }
    schemas = merged["components"]["schemas"]
    assert schemas["library.v1.Book"] == library_document["components"]["schemas"]["library.v1.Book"]
    empty = openapi(Contract([]))
    assert merge_documents([empty, library_document])["info"]["title"] == "Library"
    assert merge_documents([empty])["info"]["title"] == "No service"
    assert (schemas["library.v1.Book_other"], schemas["Own"]) == ({"type": "string"}, {"type": "null"})


def test_a_message_is_a_closed_schema_unless_unknown_fields_are_ignored() -> None:
    assert document()["components"]["schemas"]["library.v1.Author"] == {
        "type": "object",
        "properties": {"firstName": {"type": "string"}, "lastName": {"type": "string"}},
        "additionalProperties": False,
    }
    lenient = document(library.app(unknown_fields="ignore"))["components"]["schemas"]["library.v1.Book"]
    assert "additionalProperties" not in lenient


def test_the_document_stands_below_the_mount() -> None:
    mounted = library.app(prefix="/api")
    assert document(mounted, "/root/api/openapi.json", root_path="/root")["servers"] == [{"url": "/root/api"}]
    assert ask(mounted, "GET", "/openapi.json").status == 404
    assert document()["servers"] == [{"url": "/"}]


def test_the_page_runs_its_own_script_and_nothing_else() -> None:
    page = ask(APP, "GET", "/docs")
    text = page.body.decode()
    policy = page.headers["content-security-policy"]
    for kind in ("script", "style"):
        inline = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        assert len(inline) == 1
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"https?://|\son\w+=|\sstyle=", text)


def test_the_pages_are_only_read() -> None:
    assert ask(APP, "HEAD", "/docs").body == b""
    assert ask(APP, "OPTIONS", "/docs").headers["allow"] == "GET, HEAD, OPTIONS"
    assert ask(APP, "POST", "/openapi.json").status == 405
