"""The forms of values in mesh.toml: how each is read, and how an error describes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from mesh import references
from mesh.errors import UsageError
from mesh.topology.environment.variables import EnvFile
from mesh.topology.model import Address

SERVICE_NAME = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
_HOST = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*|[0-9a-fA-F]*:[0-9a-fA-F:.]*")
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/?#\s]+")


class Form(Struct, frozen=True):
    """A kind of value.

    expected: what to write, for the sentence "expected ..., not ...".
    read: returns the value as the model holds it; raises ValueError for one not of this form.
    schema: the same as JSON Schema.
    words: the allowed values, if they can be listed.
    """

    expected: str
    read: Callable[[Any], Any]
    schema: Mapping[str, Any]
    words: tuple[str, ...] = ()


class Table(Struct, frozen=True):
    """A table with these keys; a bare number instead of the table is read as the value of `shorthand`."""

    keys: Mapping[str, Form | Table]
    shorthand: str | None = None


def one_of(*words: str) -> Form:
    """Return the form of a word that is one of these."""
    expected = " or ".join(f'"{word}"' for word in words)
    return Form(expected, lambda value: _text(value, words.__contains__), {"enum": list(words)}, words)


def list_of(form: Form) -> Form:
    """Return the form of a list whose items have this form; read as a tuple."""
    schema = {"type": "array", "items": form.schema}
    return Form(f"a list, each item {form.expected}", lambda value: _list(value, form), schema)


def one_or_list_of(form: Form) -> Form:
    """Return the form of one value of this form or a list of them; read as a tuple."""
    return Form(
        f"{form.expected}, or a list of them",
        lambda value: _list(value if isinstance(value, list) else [value], form),
        {"anyOf": [form.schema, {"type": "array", "items": form.schema}]},
    )


def text_like(expected: str, pattern: re.Pattern[str]) -> Form:
    """Return the form of a string that the pattern matches as a whole."""
    schema = {"type": "string", "pattern": f"^(?:{pattern.pattern})$"}
    return Form(expected, lambda value: _text(value, pattern.fullmatch), schema)


def _text(value: Any, fits: Callable[[str], object] = bool) -> str:
    if not isinstance(value, str) or not fits(value):
        raise ValueError
    return value


def _list(value: Any, form: Form) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(form.read(item) for item in value)


def _reference(value: Any) -> str:
    text = _text(value)
    try:
        references.Reference.parse(text)
    except UsageError:
        raise ValueError from None
    return text


def _port(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 65535:
        raise ValueError
    return value


def _ports(value: Any) -> tuple[int, ...]:
    ports = _list(value, PORT)
    if not ports:
        raise ValueError
    return ports


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError
    return {_text(name, lambda name: name and "=" not in name): _variable(item) for name, item in value.items()}


def _variable(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError
    return str(value)


def _env_file(value: Any) -> EnvFile:
    if isinstance(value, str):
        return EnvFile(_text(value))
    match value:
        case {"path": str(path), **rest} if path and not rest:
            return EnvFile(path)
        case {"path": str(path), "required": bool(required), **rest} if path and not rest:
            return EnvFile(path, required)
    raise ValueError


def whole_number(least: int) -> Form:
    """Return the form of an integer from `least` to a thousand million."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < _TOO_MANY:
            raise ValueError
        return value

    return Form(f"a whole number from {least}", read, {"type": "integer", "minimum": least, "maximum": _TOO_MANY - 1})


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < _TOO_MANY:
        raise ValueError
    return value


def _externals(value: Any) -> dict[str, Address]:
    if not isinstance(value, dict):
        raise ValueError
    names = (_text(name, _EXTERNAL.fullmatch) for name in value)
    return {name.lower(): Address.parse(_text(address)) for name, address in zip(names, value.values(), strict=True)}


def _grpc_options(value: Any) -> dict[str, int | str]:
    if not isinstance(value, dict):
        raise ValueError
    return {_text(name, lambda name: name.startswith("grpc.")): _grpc_option(item) for name, item in value.items()}


def _grpc_option(value: Any) -> int | str:
    if not isinstance(value, int | str) or (isinstance(value, int) and not -(2**31) <= value < 2**31):
        raise ValueError
    return int(value) if isinstance(value, bool) else value


_EXTERNAL = re.compile(r"[\w-]+(\.[\w-]+)*(:\d{1,5})?")
_TOO_MANY = 1_000_000_000
_SOME_TEXT = {"type": "string", "minLength": 1}
_PORT_NUMBER = {"type": "integer", "minimum": 0, "maximum": 65535}
_HOST_AND_PORT = "^.+:0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$"

AS_IT_IS = Form("a value", lambda value: value, {})
TEXT = Form("a text that is not empty", _text, _SOME_TEXT)
TEXTS = list_of(Form("a text", _text, _SOME_TEXT))
NAMES = list_of(Form("a name", _text, _SOME_TEXT))
CONTRACTS = one_or_list_of(Form("a service's name", _text, _SOME_TEXT))
PORT = Form("a whole number from 0 to 65535 (0 for any free port)", _port, _PORT_NUMBER)
PORTS = Form(
    "a list of whole numbers from 0 to 65535 (0 for any free port)",
    _ports,
    {"type": "array", "items": _PORT_NUMBER, "minItems": 1},
)
REFERENCE = Form(references.EXPECTED, _reference, {"type": "string", "pattern": references.JSON_PATTERN})
REFERENCES = one_or_list_of(REFERENCE)
ALIASES = list_of(
    Form('"host:port"', lambda value: str(Address.parse(_text(value))), {"type": "string", "pattern": _HOST_AND_PORT})
)
HOSTS = list_of(text_like('a name such as "shop.test" or ".shop.test", or "*"', _HOST))
ORIGINS = list_of(text_like('an origin such as "https://shop.test", or "*"', _ORIGIN))
PREFIX = text_like('a path such as "/api/grpc", with a slash before and none after it', re.compile(r"/(?:[\s\S]*[^/])"))
READY = text_like(
    '"port", "done", a path such as "/health", or "log: listening on"', re.compile("port|done|/.*|log: .+")
)
ENVIRONMENT = Form(
    "a table of texts, numbers, true or false",
    _environment,
    {
        "type": "object",
        "propertyNames": {"pattern": "^[^=]+$"},
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
)
ENV_FILES = one_or_list_of(
    Form(
        'a path such as "users.env", or { path = "users.env", required = false }',
        _env_file,
        {
            "anyOf": [
                _SOME_TEXT,
                {
                    "type": "object",
                    "properties": {"path": _SOME_TEXT, "required": {"type": "boolean"}},
                    "required": ["path"],
                    "additionalProperties": False,
                },
            ]
        },
    )
)
EXTERNALS = Form(
    'a table of "host:port" by names such as db or "db:5432"',
    _externals,
    {
        "type": "object",
        "propertyNames": {"pattern": f"^(?:{_EXTERNAL.pattern})$"},
        "additionalProperties": {"type": "string", "pattern": _HOST_AND_PORT},
    },
)
SECONDS = Form("a number of seconds from 0", _seconds, {"type": "number", "minimum": 0, "exclusiveMaximum": _TOO_MANY})
GRPC_OPTIONS = Form(
    'a table of whole numbers and texts by names such as "grpc.keepalive_time_ms"',
    _grpc_options,
    {
        "type": "object",
        "propertyNames": {"pattern": "^grpc\\."},
        "additionalProperties": {"type": ["integer", "string", "boolean"], "minimum": -(2**31), "maximum": 2**31 - 1},
    },
)
