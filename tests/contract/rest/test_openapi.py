import base64
import hashlib
import re
from pathlib import Path

import library
from asking import ask

from mesh.contract.protoc import describe_protos
from mesh.contract.rest.comments import comments_of

DESCRIPTORS = describe_protos(Path(__file__).parents[1])
APP = library.app(descriptors=DESCRIPTORS)


def document(app=APP, target="/openapi.json", **more):
    answered = ask(app, "GET", target, **more)
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    return answered.json


def test_comments_are_read_by_full_name():
    comments = comments_of(DESCRIPTORS)
    assert comments["library.v1.Library"] == "What can be borrowed."
    assert comments["library.v1.Library.GetBook"] == "Returns a book.\n\nBy its id, or by its ISBN."
    assert comments["library.v1.Book.title"] == "On its cover."
    assert "library.v1.Author" not in comments
    assert comments_of(b"") == {}


def test_an_operation_is_the_rule_with_its_comment():
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


def test_every_rule_openapi_has_words_for_is_there():
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
        "GET /v1/raw/{path}",
        "POST /v1/raw/{path}",
        "GET /v1/books:watch",
        "POST /v1/books:import",
        "POST /v1/books:count",
        "POST /v1/{shelf}/books:move",
        "GET /v1/parts/{path}",
    }


def test_a_create_is_documented_with_its_location_and_a_stream_with_its_lines():
    paths = document()["paths"]
    assert list(paths["/v1/books"]["post"]["responses"]) == ["201", "default"]
    assert "Location" in paths["/v1/books"]["post"]["responses"]["201"]["headers"]
    watched = paths["/v1/books:watch"]["get"]["responses"]["200"]["content"]
    assert list(watched) == ["application/x-ndjson", "text/event-stream"]


def test_a_message_is_a_closed_schema_unless_unknown_fields_are_ignored():
    assert document()["components"]["schemas"]["library.v1.Author"] == {
        "type": "object",
        "properties": {"firstName": {"type": "string"}, "lastName": {"type": "string"}},
        "additionalProperties": False,
    }
    lenient = document(library.app(unknown_fields="ignore"))["components"]["schemas"]["library.v1.Book"]
    assert "additionalProperties" not in lenient


def test_the_document_stands_below_the_mount():
    mounted = library.app(prefix="/api")
    assert document(mounted, "/root/api/openapi.json", root_path="/root")["servers"] == [{"url": "/root/api"}]
    assert ask(mounted, "GET", "/openapi.json").status == 404
    assert document()["servers"] == [{"url": "/"}]


def test_the_page_runs_its_own_script_and_nothing_else():
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


def test_the_pages_are_only_read():
    assert ask(APP, "HEAD", "/docs").body == b""
    assert ask(APP, "OPTIONS", "/docs").headers["allow"] == "GET, HEAD, OPTIONS"
    assert ask(APP, "POST", "/openapi.json").status == 405
