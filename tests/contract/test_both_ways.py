"""Random messages over gRPC and over HTTP, through real sockets: every difference has a written rule.

`make test-thorough` tries 12,000 of them (MESH_MESSAGES), the ordinary suite a few hundred.
"""

from __future__ import annotations

import http.client
import math
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message
from library_pb2 import Everything
from library_pb2_grpc import LibraryStub
from msgspec.structs import replace

from mesh.contract import Method, http_call
from mesh.errors import Code, StatusError
from tests.contract import library
from tests.contract.messages import Messages, parts
from tests.support.supervised import Project

COUNT = int(os.environ.get("MESH_MESSAGES", "250"))
ECHO = library.contract()["Echo"]


def has(name: str, holds: Callable[[Any], bool]) -> Callable[[Message], bool]:
    """Return whether some part of a message is of this type, and holds that."""
    full_name = f"google.protobuf.{name}"
    return lambda message: any(holds(part) for part in parts(message) if part.DESCRIPTOR.full_name == full_name)


def _is_rounded_mask(mask: Any) -> bool:
    """Return whether the paths are others after a way through lowerCamelCase."""
    other = type(mask)()
    try:
        other.FromJsonString(mask.ToJsonString())
    except ValueError:
        return True
    return bool(other != mask)


def _is_out_of_range(moment: Any) -> bool:
    try:
        moment.ToJsonString()
    except ValueError:
        return True
    return False


#: As docs/contract.md has them, under "What JSON cannot express".
RULES: dict[str, Callable[[Message], bool]] = {
    "Fields that are not in the contract": lambda message: any(
        b"\xc0\x3e\x01" in part.SerializeToString() for part in parts(message)
    ),
    "A Timestamp or a Duration out of its range": lambda message: (
        has("Timestamp", _is_out_of_range)(message) or has("Duration", _is_out_of_range)(message)
    ),
    "a path of a FieldMask that changes in a round trip through lowerCamelCase": has("FieldMask", _is_rounded_mask),
    "A Value that holds nothing": has("Value", lambda value: value.WhichOneof("kind") is None),
    "A Value that holds NaN or an infinity": has(
        "Value", lambda value: value.HasField("number_value") and not math.isfinite(value.number_value)
    ),
    "A NullValue that is not 0": lambda message: any(
        isinstance(part, Everything) and part.nothing for part in parts(message)
    ),
    "An Any of an unknown type": has("Any", lambda packed: packed.type_url.endswith("no.Such")),
}


class Http:
    """Calls a method in one of its HTTP forms, over one connection."""

    def __init__(self, address: Any) -> None:
        self._connection = http.client.HTTPConnection(address.host, address.port, timeout=30)

    def call(self, method: Method, message: Message) -> Message:
        said = http_call(method, message)
        self._connection.request(said.http_method, said.target, said.body)
        response = self._connection.getresponse()
        return said.answer(response.status, response.read(), response.headers["content-type"])

    def close(self) -> None:
        self._connection.close()


def same(one: Message, other: Message) -> bool:
    """Equality in which NaN equals itself."""
    return one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def outcome(ask: Callable[[], Message], expected: Message) -> str:
    try:
        answer = ask()
    except StatusError as error:
        return f"{error.code.name}: {error.message}"
    return "" if same(answer, expected) else f"another answer: {answer}"


def test_a_message_is_the_same_over_grpc_and_in_every_http_form(library_project: Project) -> None:
    addresses = library_project.supervisor.directory.address
    http = Http(addresses("library", "http"))
    forms = [replace(ECHO, bindings=(binding,)) for binding in ECHO.bindings]
    explained: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    with grpc.insecure_channel(str(addresses("library", "grpc"))) as channel:
        echo = LibraryStub(channel).Echo
        for number in range(COUNT):
            message = Messages(number).fill(Everything())
            answer = echo(message, timeout=30)
            assert same(answer, message)
            for form in forms:
                binding = str(form.bindings[0])
                difference = outcome(partial(http.call, form, message), answer)
                if difference.startswith(Code.UNIMPLEMENTED.name) and binding != str(ECHO.bindings[0]):
                    # Not every form has words for every message; the first one has.
                    continue
                tried[binding] += 1
                if difference:
                    rules = [name for name, applies in RULES.items() if applies(message)]
                    assert rules, (number, binding, difference, message)
                    explained.update(rules)
    http.close()
    assert len(tried) == len(forms), tried
    if COUNT >= 12_000:
        assert set(explained) == set(RULES), explained


def test_every_rule_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
    text = " ".join(page.split("## What JSON cannot express")[1].split("\n## ")[0].split())
    assert [rule for rule in RULES if rule.lower() not in text.lower()] == []
