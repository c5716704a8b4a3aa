"""The JSON Schema that editors check mesh.toml with says what the checker says."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mesh.topology.declaration import schema
from mesh.topology.declaration.forms import Form, Table
from mesh.topology.declaration.json_schema import json_schema
from tests.support.programs import Shell

DOCS = Path(__file__).parents[3] / "docs"

#: Something that each form accepts, and much that it does not.
TEXTS = [
    *(
        "",
        "x",
        " ",
        "a:b",
        "a.b:c.d",
        "a:b()",
        "a:b( )",
        " a:b ",
        "a:b(1)",
        "1:2",
        "app.py:app",
        "sub/app.py:app",
        ":a",
    ),
    *(
        "a:",
        "a:b:c",
        "app.app",
        "users:1",
        "users:0",
        "users:65535",
        "users:65536",
        "users:00080",
        "users:99999",
        ":80",
    ),
    *(
        "[::1]:80",
        "users",
        "users:x",
        "users:-1",
        "shop.test",
        ".shop.test",
        "*",
        "*.test",
        "::1",
        "shop.test:80",
        "..a",
    ),
    *(
        "https://shop.test",
        "https://shop.test/",
        "http://[::1]:80",
        "null",
        "HTTP://x",
        "http://",
        "/",
        "/api",
        "/api/",
    ),
    *(
        "/api/grpc",
        "api",
        "//",
        "port",
        "ports",
        "/health",
        "reject",
        "ignore",
        "thread",
        "process",
        "gzip",
        "Thread",
        "é:ß",
    ),
]
NUMBERS = [-1, 0, 1, 80, 65535, 65536, 2**70, 0.5, True, False]
TABLES = [{}, {"A": "x"}, {"A": 1}, {"A": 1.5}, {"A": True}, {"A": ["x"]}, {"A": {}}, {"": "x"}, {"A=B": "x"}]
VALUES = [*TEXTS, *NUMBERS, *TABLES]
POOL = [*VALUES, [], *([each] for each in VALUES), ["x", 1], ["a:b", "users:80"], [80, 81], [80, "x"], [["x"]]]


def forms(table: Table, key: str) -> Iterator[tuple[str, Form]]:
    for name, known in table.keys.items():
        if isinstance(known, Table):
            yield from forms(known, f"{key}.{name}")
        else:
            yield f"{key}.{name}", known


FORMS = dict([*forms(schema.PROJECT, "mesh"), *forms(schema.SERVICE, "services.NAME")])


def is_read(form: Form, value: object) -> bool:
    try:
        form.read(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("key", FORMS)
def test_a_value_is_valid_for_editors_exactly_if_the_checker_takes_it(key: str) -> None:
    form = FORMS[key]
    validator = jsonschema.Draft7Validator(form.schema)
    verdicts = {json.dumps(value): (is_read(form, value), validator.is_valid(value)) for value in POOL}
    assert {value: verdict for value, verdict in verdicts.items() if verdict[0] != verdict[1]} == {}
    assert {taken for taken, _ in verdicts.values()} == {True, False}


def problems(text: str) -> list[str]:
    errors = jsonschema.Draft7Validator(json_schema()).iter_errors(tomllib.loads(text))
    return sorted(".".join(map(str, each.absolute_path)) for each in errors)


def test_it_is_a_schema_of_its_draft() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


def test_every_table_of_the_docs_is_valid() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (DOCS / "mesh-toml.md").read_text(), re.DOTALL)
    assert blocks
    assert [problems(block) for block in blocks] == [[]] * len(blocks)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[services.a]\nhttp = 5001\ngrpc = { port = 0, servicers = 'a:A' }", []),
        ("[service.a]\nhttp = 5001", [""]),
        ("[mesh]\nnam = 'x'", ["mesh"]),
        ("[services.Web_]\nhttp = 5001", ["services"]),
        ("[services.a]\ncomand = 'x'", ["services.a"]),
        ("[services.a]\nhttp = '5001'", ["services.a.http"]),
        ("[services.a]\nhttp = { port = 1, ap = 'a:a' }", ["services.a.http"]),
        ("[services]\na = 5001", ["services.a"]),
    ],
)
def test_keys_are_known_where_the_checker_knows_them(text: str, where: list[str]) -> None:
    assert problems(text) == where


def test_every_key_can_be_completed() -> None:
    service: dict[str, Any] = json_schema()["properties"]["services"]["additionalProperties"]
    assert list(service["properties"]) == list(schema.SERVICE.keys)
    for kind, table in (("http", schema.HTTP), ("grpc", schema.GRPC)):
        number, full = service["properties"][kind]["anyOf"]
        assert number["type"] == "integer"
        assert list(full["properties"]) == list(table.keys)


def test_the_command_prints_it_wherever_it_is_typed(shell: Shell) -> None:
    (shell.folder / "mesh.toml").write_text("this is no TOML")
    assert json.loads(shell.run("schema").text()) == json_schema()
