"""Journal entries as JSON events, one a line, and back."""

from __future__ import annotations

import json
from dataclasses import asdict

from mesh.observing.journal import Change, Entry, Line, Span

_KINDS: dict[str, type[Span] | type[Line] | type[Change]] = {"span": Span, "line": Line, "change": Change}


def as_event(entry: Entry) -> str:
    """`{"event": "span", ...}`: the kind of the entry and its fields."""
    return json.dumps({"event": type(entry).__name__.lower(), **asdict(entry)})


def entry_of(event: str) -> Entry | None:
    """The entry that an event stands for; None for what is no event."""
    try:
        fields = json.loads(event)
        return _KINDS[fields.pop("event")](**fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
