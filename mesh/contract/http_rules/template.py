"""Path templates of google.api.http: parsing and filling.

    Template = "/" [ Segments ] [ Verb ] ;
    Segments = Segment { "/" Segment } ;
    Segment  = "*" | "**" | LITERAL | Variable ;
    Variable = "{" FieldPath [ "=" Segments ] "}" ;
    FieldPath = IDENT { "." IDENT } ;
    Verb     = ":" LITERAL ;

As in Google's implementation, literals may follow `**`; a second wildcard may not. The router does the matching.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from urllib.parse import unquote

from msgspec import Struct

from mesh.contract.http_rules.segments import MANY, ONE, Wildcard, decode, decode_keeping_slashes, encode, fill_pattern
from mesh.errors import UsageError

_IDENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# pchar of RFC 3986 without the asterisk; a colon only if it cannot be mistaken for a verb.
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=@:]|%[0-9A-Fa-f]{2})+")
_INNER_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=@]|%[0-9A-Fa-f]{2})+")


class TemplateError(UsageError):
    """Raised for an invalid template; `position` counts characters from 0."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        super().__init__(f"path template {text!r}: {reason} at position {position}")
        self.text = text
        self.position = position
        self.reason = reason


class Variable(Struct, frozen=True):
    """A field bound to the segments from `start` to before `end`; a negative `end` counts from the path's end, plus 1.

    multi: the pattern spans more than one segment, so that an escaped slash stays escaped in its value.
    """

    path: tuple[str, ...]
    start: int
    end: int
    multi: bool

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def value_in(self, segments: Sequence[str]) -> str:
        """Return the decoded value; raises UnicodeDecodeError if the escapes are not UTF-8."""
        if not self.multi:
            return decode(segments[self.start])
        end = self.end if self.end >= 0 else len(segments) + self.end + 1
        return "/".join(map(decode_keeping_slashes, segments[self.start : end]))


class Template(Struct, frozen=True, dict=True):
    """A parsed template.

    segments: the pattern with variables expanded: decoded literals, `*` and `**`.
    """

    text: str
    segments: tuple[str | Wildcard, ...]
    variables: tuple[Variable, ...]
    verb: str

    @classmethod
    def parse(cls, text: str) -> Template:
        """Parse the template; raises TemplateError, with the position, for anything that the grammar does not allow."""
        return _Parser(text).template()

    def pattern_of(self, variable: Variable) -> tuple[str | Wildcard, ...]:
        end = variable.end if variable.end >= 0 else len(self.segments) + variable.end + 1
        return self.segments[variable.start : end]

    def fill(self, values: Sequence[str]) -> str | None:
        """Return the path with these values, one per variable in order, or None if one does not fit its pattern."""
        if self._pieces is None:
            return None
        parts: list[str] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                parts.append(piece)
                continue
            variable = self.variables[piece]
            filled = fill_pattern(self.pattern_of(variable), values[piece], variable.multi)
            if filled is None:
                return None
            parts += filled
        path = "/" + "/".join(parts)
        return f"{path}:{encode(self.verb)}" if self.verb else path

    @cached_property
    def _pieces(self) -> tuple[str | int, ...] | None:
        """The parts of a filled path: escaped literals, and variables by number; None if a wildcard has no name."""
        pieces: list[str | int] = []
        at = 0
        starts = {variable.start: number for number, variable in enumerate(self.variables)}
        while at < len(self.segments):
            segment = self.segments[at]
            if at in starts:
                pieces.append(starts[at])
                at += len(self.pattern_of(self.variables[starts[at]]))
            elif isinstance(segment, Wildcard):
                return None
            else:
                pieces.append(encode(segment))
                at += 1
        return tuple(pieces)


class _Parser:
    """Reads one template from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.segments: list[str | Wildcard] = []
        self.variables: list[Variable] = []

    def template(self) -> Template:
        self.expect("/")
        if self.at < len(self.text):
            self.read_segments(inside=False)
        verb = self.read_verb()
        if self.at < len(self.text):
            raise self.error(f"unexpected {self.text[self.at]!r}")
        return Template(self.text, tuple(self.segments), tuple(map(self.settled, self.variables)), verb)

    def settled(self, variable: Variable) -> Variable:
        """Return the variable, its end counted from the path's end if `**` makes the length vary."""
        if MANY not in self.segments[variable.start : variable.end]:
            return variable
        return Variable(variable.path, variable.start, variable.end - len(self.segments) - 1, True)

    def read_segments(self, inside: bool) -> None:
        self.read_segment(inside)
        while self.peek() == "/":
            self.at += 1
            self.read_segment(inside)

    def read_segment(self, inside: bool) -> None:
        if self.peek() == "*":
            self.read_wildcard()
        elif self.peek() == "{" and not inside:
            self.read_variable()
        else:
            self.read_literal(inside)

    def read_wildcard(self) -> None:
        if MANY in self.segments:
            raise self.error("no further wildcard may follow '**'")
        many = self.text.startswith("**", self.at)
        self.at += 2 if many else 1
        self.segments.append(MANY if many else ONE)

    def read_variable(self) -> None:
        opened = self.at
        self.at += 1
        path = self.read_field_path()
        start = len(self.segments)
        if self.peek() == "=":
            self.at += 1
            self.read_segments(inside=True)
        elif MANY in self.segments:
            raise self.error("no further wildcard may follow '**'")
        else:
            self.segments.append(ONE)
        self.expect("}")
        if any(variable.path == path for variable in self.variables):
            self.at = opened
            raise self.error(f"variable {'.'.join(path)!r} is bound twice")
        end = len(self.segments)
        self.variables.append(Variable(path, start, end, end - start > 1))

    def read_field_path(self) -> tuple[str, ...]:
        names = [self.read(_IDENT, "a field name")]
        while self.peek() == ".":
            self.at += 1
            names.append(self.read(_IDENT, "a field name"))
        return tuple(names)

    def read_literal(self, inside: bool) -> None:
        start = self.at
        literal = self.read(_INNER_LITERAL if inside else _LITERAL, "a segment")
        last = not inside and self.at == len(self.text)
        if last and ":" in literal:
            # In the last segment a colon begins the verb.
            literal = literal[: literal.rindex(":")]
            self.at = start + len(literal)
            if not literal:
                self.at = start
                raise self.error("expected a segment")
        self.segments.append(unquote(literal))

    def read_verb(self) -> str:
        if self.peek() != ":":
            return ""
        if not self.segments:
            raise self.error("expected a segment before the verb")
        self.at += 1
        return unquote(self.read(_LITERAL, "a verb"))

    def read(self, what: re.Pattern[str], wanted: str) -> str:
        found = what.match(self.text, self.at)
        if not found:
            raise self.error(f"expected {wanted}")
        self.at = found.end()
        return found.group()

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def expect(self, mark: str) -> None:
        if self.peek() != mark:
            raise self.error(f"expected {mark!r}")
        self.at += 1

    def error(self, reason: str) -> TemplateError:
        return TemplateError(self.text, self.at, reason)
