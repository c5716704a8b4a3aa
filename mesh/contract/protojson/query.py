"""Reads query strings into messages.

A name is a path of fields, by proto or JSON name (`book.author_info.lastName=x`); a repeated field occurs once per
value, an entry of a map as `labels[key]=x`. `+` is a space, as HTML forms and every HTTP library write it. Given twice,
a field that is not repeated is refused; so is a second member of a oneof. Fields that the path or the body binds cannot
be given in the query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_plus

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from mesh.contract.protojson.body import MAX_DEPTH
from mesh.contract.protojson.fields import (
    OneofMember,
    Text,
    check_oneofs,
    is_well_known,
    map_entry,
    oneof_members,
    read_map_entry,
    resolve,
    set_text,
    text_of,
)
from mesh.contract.protojson.scalars import Mismatch
from mesh.contract.protojson.shape import unknown_name

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENTRY = re.compile(r"(?P<map>[^\[\]]+)\[(?P<key>[^\]]*)\]")
_PLANS_KEPT = 256


class _Plan(NamedTuple):
    """The field, or the entry of a map, that one parameter sets."""

    parents: tuple[str, ...]
    field: FieldDescriptor
    text: Text | None
    key: str | None
    members: tuple[OneofMember, ...]


class Query:
    """The query parameters of one binding.

    bound: paths of proto names that the path or the body has taken. reject_unknown: refuse a name that is unknown
    or bound; otherwise it is ignored.
    """

    def __init__(self, descriptor: Descriptor, bound: Iterable[tuple[str, ...]], reject_unknown: bool) -> None:
        self._descriptor = descriptor
        self._bound = tuple(bound)
        self._reject_unknown = reject_unknown
        self._plans: dict[str, _Plan] = {}

    def read(self, query: str, message: Message) -> None:
        """Write the parameters into the message; raises Mismatch with the parameter's name as place."""
        said: set[tuple[str, ...]] = set()
        for name, value in _pairs(query):
            plan = self._plans.get(name) or self._plan(name)
            if plan is None:
                continue
            if not plan.field.is_repeated:
                path = (*plan.parents, plan.field.name)
                if path in said:
                    raise Mismatch("is given twice", name)
                said.add(path)
            target = message
            for parent in plan.parents:
                target = getattr(target, parent)
            try:
                check_oneofs(message, plan.members)
                if plan.key is not None:
                    read_map_entry(target, plan.field, plan.key, value)
                elif plan.text is not None:
                    set_text(target, plan.field, plan.text, value)
            except ValueError as error:
                raise Mismatch(str(error), name) from None

    def _plan(self, name: str) -> _Plan | None:
        """Return the plan of a name, or None for one to ignore; raises Mismatch for one that is not allowed."""
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
            raise Mismatch("is not a query parameter: the path or the body binds it", name)
        text = text_of(field)
        if (map_entry(field) is not None) != bool(entry) or not (entry or text):
            raise Mismatch("cannot stand in a query", name)
        return _Plan(names[:-1], field, text, entry["key"] if entry else None, oneof_members([*parents, field]))


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        name = _decoded(name, "the query")
        pairs.append((name, _decoded(value, name)))
    return pairs


def _decoded(text: str, place: str) -> str:
    """Return the text without its escapes; raises Mismatch at that place."""
    if "%" not in text:
        return text.replace("+", " ")
    if broken := _BROKEN_ESCAPE.search(text):
        raise Mismatch(f"has an invalid escape {text[broken.start() : broken.start() + 3]!r}", place)
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise Mismatch("has escapes that are not UTF-8", place) from None
