"""JSON from outside: strictly RFC 8259, at the speed of the standard library's C parser."""

from __future__ import annotations

import codecs
import json
import math
import re
from array import array
from itertools import accumulate
from typing import Any, NoReturn

from mesh.errors import Code, StatusError

MAX_DEPTH = 100

_PAIR = re.compile(rb"\\.", re.DOTALL)
_BRACKETS = b"[]{}"
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
#: Opening brackets as +1, closing ones as -1 in two's complement.
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\xff\x01\xff")
#: The greatest float; and the number from which on none is rounded to it.
FLOAT_MAX = float.fromhex("0x1.fffffep+127")
FLOAT_LIMIT = float.fromhex("0x1.ffffffp+127")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def parse_json(body: bytes, *, limit: int | None = None) -> Any:
    """Return the value of a JSON text in UTF-8.

    limit: the greatest number of bytes, None for any.

    Raises StatusError INVALID_ARGUMENT, naming the line and column or the field, for anything that RFC 8259 does not
    allow, and for what it leaves open but is always a mistake: duplicate names, lone surrogates, a byte order mark,
    nesting deeper than 100, integers of more digits than Python reads (4300), numbers
    beyond the range of a double. A body over the limit has the HTTP status 413.
    """
    if limit is not None and len(body) > limit:
        raise too_large(limit)
    if body.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _invalid("starts with a byte order mark; send UTF-8 without one")
    if is_nested_deeper(body, MAX_DEPTH):
        raise _invalid(f"is nested deeper than {MAX_DEPTH} levels")
    try:
        text = body.decode()
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise _invalid(f"is not UTF-8: byte 0x{body[error.start]:02x} at offset {error.start}") from None
    except RecursionError:
        raise _invalid(f"is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        # From the hooks below, and from int() for a number of too many digits.
        reason = error.args[0] if isinstance(error, _Refused) else "holds a number of too many digits"
        raise _invalid(reason) from None
    if _SURROGATE.search(body):
        _refuse_lone_surrogates(text)
    return value


def is_nested_deeper(body: bytes, levels: int) -> bool:
    """True if the arrays and objects of a JSON text are nested in one another deeper than this."""
    # Few brackets cannot nest deeply: the exact count is for the rest.
    return body.count(b"[") + body.count(b"{") > levels and _depth(body) > levels


def too_large(limit: int) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, f"the body is larger than {limit} bytes", http_status=413)


class _Refused(ValueError):
    """Raised for what the parser accepts and RFC 8259 or mesh does not."""


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f'holds a bare {name}; write "{name}" in quotes')


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise _Refused(f"has the name {json.dumps(twice)} twice in one object")
    return result


def _finite(text: str) -> float | int:
    value = float(text)
    if math.isinf(value):
        raise _Refused(f"holds a number out of range: {text if len(text) <= 40 else text[:37] + '...'}")
    # FLT_MAX is written 3.4028235e+38, which is a little more: for a float, json_format accepts only the equal integer.
    return int(value) if FLOAT_MAX < abs(value) < FLOAT_LIMIT else value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)


def _depth(body: bytes) -> int:
    """Return the deepest nesting, ignoring brackets within strings."""
    unescaped = _PAIR.sub(b"", body) if b"\\" in body else body
    # Without escapes, every other piece between quotes is a string.
    brackets = b"".join(unescaped.split(b'"')[::2]).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(array("b", brackets)), default=0)


def _refuse_lone_surrogates(text: str) -> None:
    for escape in _ESCAPE.finditer(text):
        if escape["lone"]:
            line = text.count("\n", 0, escape.start()) + 1
            column = escape.start() - text.rfind("\n", 0, escape.start())
            raise _invalid(f"has the lone surrogate {escape.group()} at line {line}, column {column}")


def _invalid(reason: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, f"the body {reason}")
