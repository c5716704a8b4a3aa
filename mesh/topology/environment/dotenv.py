"""Reads a file of variables, such as `.env`, as Compose does.

python-dotenv is not used: it leaves out most of Compose's `${...}` and drops which quotes a value had, on which depends
whether its variables are replaced.
"""

from __future__ import annotations

import re
from pathlib import Path

from mesh.topology.environment.interpolation import InterpolationError, Lookup, interpolated

_BLANK = r"[^\S\n]"
_ENTRY = re.compile(
    rf"""(?:export{_BLANK}+)?(?P<name>[\w.\-\[\]]+){_BLANK}*
    (?: (?P<unset>\n|$) | [=:]{_BLANK}* (?:
        '(?P<single>(?:\\.|[^'\\])*)' | "(?P<double>(?:\\.|[^"\\])*)" | (?P<plain>(?!['"])[^\n]*)
    ))""",
    re.VERBOSE | re.DOTALL,
)
_IGNORED = re.compile(r"(?:\s+|\#[^\n]*)*")
_ESCAPE = re.compile(r"\\(0[0-7]{0,3}|[abcfnrtv$\"\\])", re.DOTALL)
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "$": "$$", "c": "\\c"}


class DotenvError(ValueError):
    """Raised for a file that is not of this form; the message begins with the line."""


def read_dotenv(file: Path, lookup: Lookup) -> dict[str, str]:
    """Return the variables of a file. Raises DotenvError, and OSError if it cannot be read."""
    try:
        return parse_dotenv(file.read_text("utf-8-sig"), lookup)
    except UnicodeDecodeError as error:
        raise DotenvError(f"it is not UTF-8: {error.reason}") from None


def parse_dotenv(text: str, lookup: Lookup) -> dict[str, str]:
    """Return the variables that the text sets; their values may name those before them, and those of `lookup`.

    A name alone is a variable of `lookup`, if that has it.
    """
    found: dict[str, str] = {}

    def value_of(name: str) -> str | None:
        given = lookup(name)
        return found.get(name) if given is None else given

    text = text.replace("\r\n", "\n")
    at = _IGNORED.match(text, 0).end()  # type: ignore[union-attr]  # it matches nothing as well
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        entry = _ENTRY.match(text, at)
        if entry is None:
            raise DotenvError(f"line {line}: expected NAME=value, not {text[at:].splitlines()[0]!r}")
        try:
            value = value_of(entry["name"]) if entry["unset"] is not None else _value(entry, value_of)
        except InterpolationError as error:
            raise DotenvError(f"line {line}: {error}") from None
        if value is not None:
            found[entry["name"]] = value
        at = _IGNORED.match(text, entry.end()).end()  # type: ignore[union-attr]
    return found


def _value(entry: re.Match[str], lookup: Lookup) -> str:
    if entry["single"] is not None:
        return entry["single"].replace("\\'", "'")
    if entry["double"] is not None:
        return interpolated(_ESCAPE.sub(_unescaped, entry["double"]), lookup)
    plain = entry["plain"]
    return interpolated(plain.partition(" #")[0].rstrip(), lookup)


def _unescaped(found: re.Match[str]) -> str:
    text = found[1]
    return chr(int(text, 8)) if text[0] == "0" else _CONTROLS.get(text, text)
