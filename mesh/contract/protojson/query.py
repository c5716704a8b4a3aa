"""Query strings into messages.

A name is a path of fields, by proto or JSON name (`book.author_info.lastName=x`); a repeated field is named once a
value, an entry of a map as `labels[key]=x`. `+` is a space, as HTML forms and every HTTP library write it. Said twice,
a field that is not repeated is refused; so are two members of one oneof. What the path or the body binds is not the
query's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote_plus

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from mesh.contract.protojson.body import MAX_DEPTH
from mesh.contract.protojson.fields import Text, is_well_known, map_entry, read_map_entry, resolve, set_text, text_of
from mesh.contract.protojson.scalars import Mismatch
from mesh.contract.protojson.shape import unknown_name

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_ENTRY = re.compile(r"(?P<map>[^\[\]]+)\[(?P<key>[^\]]*)\]")
_PLANS_KEPT = 256


class _Plan(NamedTuple):
    """Where the value of one parameter goes."""

    parents: tuple[str, ...]
    field: FieldDescriptor
    text: Text | None
    key: str | None
    #: Which oneofs it has a say in, and as which member.
    members: tuple[tuple[tuple[str, ...], str], ...]


class Query:
    """The query parameters of one binding.

    bound: paths of proto names that the path or the body has taken. reject_unknown: whether a name that means nothing,
    or something bound, is a mistake; else it is passed over.
    """

    def __init__(self, descriptor: Descriptor, bound: Iterable[tuple[str, ...]], reject_unknown: bool) -> None:
        self._descriptor = descriptor
        self._bound = tuple(bound)
        self._reject_unknown = reject_unknown
        self._plans: dict[str, _Plan] = {}

    def read(self, query: str, message: Message) -> None:
        """Writes the parameters into the message; raises Mismatch with the parameter's name as place."""
        said: dict[tuple[str, ...], str] = {}
        for name, value in _pairs(query):
            plan = self._plans.get(name) or self._plan(name)
            if plan is None:
                continue
            _say_once(plan, name, said)
            target = message
            for parent in plan.parents:
                target = getattr(target, parent)
            try:
                if plan.key is not None:
                    read_map_entry(target, plan.field, plan.key, value)
                elif plan.text is not None:
                    set_text(target, plan.field, plan.text, value)
            except ValueError as error:
                raise Mismatch(str(error), name) from None

    def _plan(self, name: str) -> _Plan | None:
        """Raises Mismatch for a name that must not be there; None for one to pass over."""
        try:
            plan = self._resolved(name)
        except Mismatch:
            if self._reject_unknown:
                raise
            return None
        if len(self._plans) < _PLANS_KEPT:
            self._plans[name] = plan
        return plan

    def _resolved(self, name: str) -> _Plan:
        entry = _ENTRY.fullmatch(name)
        path = (entry["map"] if entry else name).split(".")
        try:
            if len(path) > MAX_DEPTH:
                raise KeyError(name)
            *parents, field = resolve(self._descriptor, path)
        except KeyError:
            known = [field.json_name for field in self._descriptor.fields]
            raise unknown_name("query parameter of this method", name, known) from None
        if any(is_well_known(parent.message_type) for parent in parents):
            raise Mismatch("cannot stand in a query", name)
        names = (*(parent.name for parent in parents), field.name)
        if any(names[: len(taken)] == taken[: len(names)] for taken in self._bound):
            raise Mismatch("is no query parameter: the path or the body binds it", name)
        text = text_of(field)
        if (map_entry(field) is not None) != bool(entry) or not (entry or text):
            raise Mismatch("cannot stand in a query", name)
        return _Plan(names[:-1], field, text, entry["key"] if entry else None, tuple(_members([*parents, field])))


def _say_once(plan: _Plan, name: str, said: dict[tuple[str, ...], str]) -> None:
    field = plan.field
    if not field.is_repeated:
        if (*plan.parents, field.name) in said:
            raise Mismatch("is given twice", name)
        said[(*plan.parents, field.name)] = name
    for oneof, member in plan.members:
        if said.setdefault(oneof, member) != member:
            raise Mismatch(f"excludes {said[oneof]}: a message holds one of them", name)


def _members(fields: Sequence[FieldDescriptor]) -> Iterator[tuple[tuple[str, ...], str]]:
    names = tuple(field.name for field in fields)
    for index, field in enumerate(fields):
        if field.containing_oneof is not None:
            yield (*names[:index], f"oneof {field.containing_oneof.name}"), field.name


def _pairs(query: str) -> list[tuple[str, str]]:
    broken = _BROKEN_ESCAPE.search(query)
    if broken:
        raise Mismatch(f"has a broken escape {query[broken.start() : broken.start() + 3]!r}", "the query")
    pairs = (part.partition("=") for part in query.split("&") if part)
    try:
        return [(unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")) for name, _, value in pairs]
    except UnicodeDecodeError:
        raise Mismatch("has escapes that are not UTF-8", "the query") from None
