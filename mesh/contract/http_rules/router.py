"""Finds the rule for a request, with a trie over raw path segments.

Policy, the same for every rule: a path is split as received, before any decoding; a trailing slash, an empty segment
and the segments `.` and `..` (escaped or not) match nothing. At each segment a literal is tried before `*`, `*` before
`**`; a rule for another HTTP method does not hide a less specific one for this method. A verb counts as one only if
some rule has it. A lookup visits each node of the trie at most once, usually one per segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from mesh.contract.http_rules.segments import MANY, ONE, decode
from mesh.contract.http_rules.template import Template
from mesh.errors import Code, StatusError, UsageError

T = TypeVar("T")

#: The `kind` of a custom rule that leaves the HTTP method open.
ANY_METHOD = "*"

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class NotAllowed(StatusError):
    """Raised if the path is known but the method is not; `allow` lists the known ones."""

    def __init__(self, method: str, path: str, allow: tuple[str, ...]) -> None:
        super().__init__(Code.UNIMPLEMENTED, f"{method} is not allowed for {path}", http_status=405)
        self.allow = allow


class _Leaf(Generic[T]):
    """The rules of one path pattern: HTTP method -> template and target."""

    __slots__ = ("methods",)

    def __init__(self) -> None:
        self.methods: dict[str, tuple[Template, T]] = {}


class _Node(Generic[T]):
    __slots__ = ("leaves", "literals", "one", "tails")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.one: _Node[T] | None = None
        #: What follows `**`, longest first: most specific first.
        self.tails: list[tuple[tuple[str, ...], _Node[T]]] = []
        #: By verb; "" means none.
        self.leaves: dict[str, _Leaf[T]] = {}

    def literal(self, segment: str) -> _Node[T]:
        return self.literals.setdefault(segment, _Node())

    def single(self) -> _Node[T]:
        self.one = self.one or _Node()
        return self.one

    def tail(self, segments: tuple[str, ...]) -> _Node[T]:
        for known, node in self.tails:
            if known == segments:
                return node
        self.tails.append((segments, _Node()))
        self.tails.sort(key=lambda tail: -len(tail[0]))
        return self.tail(segments)


class Router(Generic[T]):
    """Rules as (HTTP method, template, target); raises UsageError if two match the same requests."""

    def __init__(self, rules: Iterable[tuple[str, Template, T]]) -> None:
        self._root: _Node[T] = _Node()
        self._verbs: set[str] = set()
        for method, template, target in rules:
            self.add(method, template, target)

    def add(self, method: str, template: Template, target: T) -> None:
        """Add a rule; raises UsageError, naming both, if there is already one for the same requests."""
        node = self._root
        for index, segment in enumerate(template.segments):
            if segment is MANY:
                node = node.tail(tuple(map(str, template.segments[index + 1 :])))
                break
            node = node.single() if segment is ONE else node.literal(segment)
        methods = node.leaves.setdefault(template.verb, _Leaf()).methods
        if method in methods:
            raise UsageError(
                f"{method} {template.text} for {target} matches the same requests as "
                f"{methods[method][0].text} for {methods[method][1]}; change one of them"
            )
        methods[method] = (template, target)
        if template.verb:
            self._verbs.add(template.verb)

    def find(self, method: str, path: str) -> tuple[T, list[str]]:
        """Return the target of the rule, and its variables' values in the template's order.

        path: raw, as in the request line, without the query.

        Raises StatusError: NOT_FOUND for an unknown path, NotAllowed (405) for a known path with another method,
        INVALID_ARGUMENT for invalid escapes.
        """
        segments = _split(path)
        for leaf, parts in self._candidates(segments):
            rule = leaf.methods.get(method) or leaf.methods.get(ANY_METHOD)
            if rule:
                template, target = rule
                return target, _values(template, parts)
        allow = self._methods(segments)
        if allow:
            raise NotAllowed(method, path, allow)
        raise StatusError(Code.NOT_FOUND, f"no rule for the path {path}")

    def allowed(self, path: str) -> tuple[str, ...]:
        """Return the methods that some rule has for this path, with HEAD and OPTIONS; empty for an unknown path."""
        return self._methods(_split(path))

    def _methods(self, segments: list[str]) -> tuple[str, ...]:
        found = {method for leaf, _ in self._candidates(segments) for method in leaf.methods}
        if "GET" in found:
            found.add("HEAD")
        return tuple(sorted({*found, "OPTIONS"} - {ANY_METHOD})) if found else ()

    def _candidates(self, segments: list[str]) -> Iterator[tuple[_Leaf[T], list[str]]]:
        """Yield every leaf whose pattern matches, most specific first, with the segments without the verb."""
        if self._verbs and segments and ":" in segments[-1]:
            head, *parts = segments[-1].split(":")
            met = False
            for count in range(1, len(parts) + 1):
                last = ":".join([head, *parts[: count - 1]])
                verb = decode(":".join(parts[count - 1 :]))
                if last and verb in self._verbs:
                    stripped = [*segments[:-1], last]
                    for node in _walk(self._root, stripped, 0):
                        if verb in node.leaves:
                            met = True
                            yield node.leaves[verb], stripped
            if met:
                # A bare colon before a known verb is that verb: within a value it would be escaped.
                return
        for node in _walk(self._root, segments, 0):
            if "" in node.leaves:
                yield node.leaves[""], segments


def _walk(node: _Node[T], segments: list[str], index: int) -> Iterator[_Node[T]]:
    """Yield the nodes whose patterns end where the segments end, most specific first."""
    # Descend directly while there is only one choice.
    while index < len(segments) and not node.tails:
        segment = segments[index]
        literal = node.literals.get(decode(segment)) if node.literals else None
        if literal is not None and node.one is not None:
            break
        following = literal or node.one
        if following is None:
            return
        node = following
        index += 1
    if index == len(segments):
        yield node
    else:
        literal = node.literals.get(decode(segments[index]))
        if literal is not None:
            yield from _walk(literal, segments, index + 1)
        if node.one is not None:
            yield from _walk(node.one, segments, index + 1)
    for tail, ending in node.tails:
        if len(segments) - index >= len(tail) and _ends_with(segments, tail):
            yield ending


def _ends_with(segments: list[str], tail: Sequence[str]) -> bool:
    return not tail or [decode(segment) for segment in segments[-len(tail) :]] == list(tail)


def _split(path: str) -> list[str]:
    """Return the raw segments; raises StatusError for a path that no rule can match."""
    if "%" in path:
        _check_escapes(path)
    if path == "/":
        return []
    segments = path.split("/")
    if segments.pop(0) or "" in segments or ("." in path and _has_dots(segments)):
        raise StatusError(Code.NOT_FOUND, f"no rule for the path {path}")
    return segments


def _has_dots(segments: list[str]) -> bool:
    return any(segment in (".", "..") for segment in segments)


def _check_escapes(path: str) -> None:
    """Raise StatusError for invalid escapes, for those that are not UTF-8, and for escaped dot segments."""
    broken = _BROKEN_ESCAPE.search(path)
    if broken:
        escape = path[broken.start() : broken.start() + 3]
        raise StatusError(
            Code.INVALID_ARGUMENT, f"the path has an invalid escape {escape!r} at position {broken.start()}"
        )
    try:
        decoded = [decode(segment) for segment in path.split("/")]
    except UnicodeDecodeError:
        raise StatusError(Code.INVALID_ARGUMENT, "the path's escapes are not UTF-8") from None
    if _has_dots(decoded):
        raise StatusError(Code.NOT_FOUND, f"no rule for the path {path}")


def _values(template: Template, segments: list[str]) -> list[str]:
    return [variable.value_in(segments) for variable in template.variables]
