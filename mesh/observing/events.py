"""Journal entries as JSON events, one per line, and back."""

from __future__ import annotations

import base64
import json

from msgspec.structs import asdict

from mesh.observing.journal import Change, Entry, Hold, Line
from mesh.observing.secrets import Secrets
from mesh.observing.span import Span

_KINDS: dict[str, type[Entry]] = {"span": Span, "line": Line, "change": Change, "hold": Hold}


#: Fields of a span that hold bytes.
_PAYLOADS = ("request", "response")


def as_event(entry: Entry, payloads: bool = False, secrets: Secrets | None = None, **more: object) -> str:
    """Return `{"event": "span", ...}`: the kind of the entry, its fields, and more.

    payloads: include a call's, in base64. secrets: mask those in the query of its target.
    """
    fields = asdict(entry)
    for name in _PAYLOADS if isinstance(entry, Span) else ():
        data = fields.pop(name)
        if payloads:
            fields[name] = base64.b64encode(data).decode()
    if isinstance(entry, Span) and secrets is not None:
        fields["target"] = secrets.masked_target(entry.target)
    return json.dumps({"event": type(entry).__name__.lower(), **fields, **more})


def entry_of(event: str) -> Entry | None:
    """Return the entry that an event describes, or None if it describes none."""
    try:
        fields = json.loads(event)
        kind = _KINDS[fields.pop("event")]
        for name in _PAYLOADS if kind is Span else ():
            fields[name] = base64.b64decode(fields.get(name, ""))
        return kind(**fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
