"""Replaces variables in a text, with the grammar of Compose.

`$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}`, `${NAME?message}`, `${NAME:+other}`,
`${NAME+other}`, each with further variables inside, and `$$` for a dollar sign
(docs.docker.com/reference/compose-file/interpolation). Any other `$` is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable

#: Returns the value of a variable, or None if it is not set.
Lookup = Callable[[str], str | None]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")


class InterpolationError(ValueError):
    """Raised for a text that Compose would refuse, and for a variable that is needed and not set."""


def _ignored(name: str) -> None:
    pass


def interpolated(text: str, lookup: Lookup, blank: Callable[[str], object] = _ignored) -> str:
    """Return the text with its variables replaced; one that is not set becomes empty, and `blank` gets its name.

    Raises InterpolationError for `${` without a name or an end, and for `${NAME:?message}` without a value.
    """
    parts: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        replacement, at = _replacement(text, dollar, lookup, blank)
        parts.append(replacement)
    return "".join(parts) + text[at:]


def escaped(text: str) -> str:
    """Return the text that is interpolated to this one."""
    return text.replace("$", "$$")


def _replacement(text: str, dollar: int, lookup: Lookup, blank: Callable[[str], object]) -> tuple[str, int]:
    """Return what stands for the variable at this dollar sign, and where the text goes on."""
    following = text[dollar + 1 : dollar + 2]
    if following == "$":
        return "$", dollar + 2
    if following == "{":
        end = _closing(text, dollar + 1)
        return _braced(text, text[dollar + 2 : end], lookup, blank), end + 1
    if name := _NAME.match(text, dollar + 1):
        return _plain(name[0], lookup, blank), name.end()
    return "$", dollar + 1


def _closing(text: str, opening: int) -> int:
    """Return the position of the brace that closes this one."""
    depth = 0
    for at in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise InterpolationError(f"{text!r} has a ${{ that is not closed; write $$ for a dollar sign")


def _plain(name: str, lookup: Lookup, blank: Callable[[str], object]) -> str:
    value = lookup(name)
    if value is None:
        blank(name)
    return value or ""


def _braced(text: str, inner: str, lookup: Lookup, blank: Callable[[str], object]) -> str:
    name = _NAME.match(inner)
    rest = inner[name.end() :] if name else ""
    operator = _OPERATOR.match(rest)
    if name is None or (rest and operator is None):
        raise InterpolationError(f"{text!r} has ${{{inner}}}, which names no variable; write $$ for a dollar sign")
    if operator is None:
        return _plain(name[0], lookup, blank)
    value = lookup(name[0])
    is_given = bool(value) if operator[0].startswith(":") else value is not None
    word = rest[operator.end() :]
    match operator[0][-1]:
        case "-":
            return (value or "") if is_given else interpolated(word, lookup, blank)
        case "+":
            return interpolated(word, lookup, blank) if is_given else ""
    if is_given:
        return value or ""
    reason = interpolated(word, lookup, blank)
    raise InterpolationError(f"the variable {name[0]} needs a value" + (f": {reason}" if reason else ""))
