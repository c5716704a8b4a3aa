"""Segments of a path, their escapes, and the wildcards that match them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote, unquote_to_bytes

_SLASH = re.compile(r"(%2F)", re.IGNORECASE)


class Wildcard(str):
    """`*` or `**` in a pattern, as distinct from the same literal."""

    __slots__ = ()


ONE = Wildcard("*")
MANY = Wildcard("**")

_SINGLE = (ONE,)
#: A URL cannot write these as one segment.
_NO_SEGMENT = ("", ".", "..")


def encode(text: str) -> str:
    """Return the text with everything but unreserved characters escaped."""
    return quote(text, safe="")


def decode(text: str) -> str:
    """Return the text with every escape decoded; raises UnicodeDecodeError if they are not UTF-8."""
    return unquote(text, errors="strict") if "%" in text else text


def decode_keeping_slashes(text: str) -> str:
    """Return the text with every escape decoded except slashes, as google.api.http wants for several segments."""
    if "%" not in text:
        return text
    pieces = (p.encode() if _SLASH.fullmatch(p) else unquote_to_bytes(p) for p in _SLASH.split(text))
    return b"".join(pieces).decode()


def fill_pattern(pattern: Sequence[str | Wildcard], value: str, multi: bool) -> list[str] | None:
    """Return the escaped segments of a value, or None if they do not match the pattern."""
    if not multi and pattern == _SINGLE:
        return [encode(value)] if value not in _NO_SEGMENT else None
    parts = (value.split("/") if value else []) if multi else [value]
    if any(part in _NO_SEGMENT for part in parts):
        return None
    if MANY in pattern:
        at = pattern.index(MANY)
        tail = len(pattern) - at - 1
        if len(parts) < len(pattern) - 1:
            return None
        pairs = [
            *zip(pattern[:at], parts, strict=False),
            *zip(pattern[at + 1 :], parts[len(parts) - tail :], strict=True),
        ]
    elif len(parts) != len(pattern):
        return None
    else:
        pairs = list(zip(pattern, parts, strict=True))
    fits = all(isinstance(expected, Wildcard) or expected == part for expected, part in pairs)
    return [encode(part) for part in parts] if fits else None
