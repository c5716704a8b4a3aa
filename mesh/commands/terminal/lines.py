"""Journal entries as lines of text. Pure: nothing here writes."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mesh.control.api import as_json
from mesh.observing.escaping import escaped
from mesh.observing.journal import Change, Line
from mesh.observing.span import Span
from mesh.runtime.messages import ServiceState, Snapshot

#: CR LF does not end a line here: a client could send it to forge another line of the log.
_LINE_END = re.compile(r"(?<!\r)\n")
_RED, _YELLOW, _DIM, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Style:
    """The style of lines. colour: whether to write escape sequences. width: columns for the name of a service."""

    colour: bool
    width: int

    def paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self.colour else text


@dataclass(frozen=True, slots=True)
class Header:
    """The banner's content. milliseconds: from the command's start until every service was ready or had failed."""

    version: str
    snapshot: Snapshot
    milliseconds: float
    url: str

    def as_json(self) -> dict[str, Any]:
        return {"milliseconds": round(self.milliseconds, 1), "url": self.url, **as_json(self.snapshot)}


def banner(header: Header, style: Style) -> list[str]:
    """Return the lines that list the services and their addresses."""
    services = header.snapshot.services
    ports = sum(len(each.http) + (each.grpc is not None) for each in services)
    counted = f"{count(len(services), 'service')}  {count(ports, 'port')}"
    failed = sum(each.state == "failed" for each in services)
    counted += f"  {failed} failed" if failed else ""
    name = escaped(header.snapshot.topology)
    first = f"mesh {header.version}  {name}  {counted}  ready in {header.milliseconds:.0f} ms"
    return [
        f"{style.paint(first, _BOLD)}        {header.url}",
        "",
        *(f"  {each.name:<{style.width}}  {where(each, style)}".rstrip() for each in services),
        "",
    ]


def where(state: ServiceState, style: Style) -> str:
    """Return a service's addresses, ready to click or curl, after the reason if it is stale or has failed."""
    parts = [] if state.state == "ready" else [style.paint(state.state, _RED if state.state == "failed" else _YELLOW)]
    parts += [f"http://{state.http[0]}", *(f":{address.port}" for address in state.http[1:])] if state.http else []
    parts += [f"grpc {state.grpc}"] if state.grpc else []
    return "  ".join(parts)


def tree(spans: Sequence[Span], style: Style) -> list[str]:
    """Return a call and the calls made for it, each under its caller, in the order in which they began.

    A call that a service here answered is one line, of that service; the client's own line is shown if no service
    here answered, and if it reports a second transport.
    """
    children: dict[str | None, list[Span]] = {}
    for span in sorted(spans[1:], key=lambda each: each.start):
        children.setdefault(span.parent_id, []).append(span)
    followed = {span.attempt_of for span in spans if span.way}
    lines: list[str] = []
    stack = [(spans[0], 0)]
    while stack:
        span, depth = stack.pop()
        inner = children.pop(span.span_id, [])
        is_client = span.kind == "client"
        if not is_client or span.way or not (inner or span.span_id in followed):
            lines.append(_call(span, depth, style))
        stack += [(child, depth if is_client else depth + 1) for child in reversed(inner)]
    return lines


def line_of(line: Line, style: Style) -> list[str]:
    """Return each line of a service's output under the service's name."""
    name = f"{line.service:<{style.width}}"
    prefix = f"{style.paint(_clock(line.at), _DIM)} {style.paint(name, _RED) if line.stream == 'stderr' else name}"
    return [f"{prefix}  {escaped(text)}".rstrip() for text in _LINE_END.split(line.text.removesuffix("\n"))]


def failure(change: Change, style: Style) -> list[str]:
    """Return why a service failed, with its name given once."""
    reason = (change.reason or "").removeprefix(f"{change.service}: ")
    return line_of(Line(change.service, escaped(f"failed: {reason}"), "stderr", change.at), style)


def _call(span: Span, depth: int, style: Style) -> str:
    name = f"{span.service:<{style.width}}"
    what = f"grpc {span.name}" if span.protocol == "grpc" else span.name
    what = f"-> {span.peer or span.declared} {what}" if span.kind == "client" else what
    shown = f"{'  ' * depth}{escaped(span.way or what)}"
    status = f"{span.status or span.error or '':<5}"
    began = style.paint(_clock(span.start), _DIM)
    return f"{began} {name}  {shown:<38}  {_painted(status, style)} {span.milliseconds:7.1f} ms"


def _painted(status: str, style: Style) -> str:
    text = status.strip()
    if text == "OK" or text[:1] in ("1", "2", "3"):
        return status
    return style.paint(status, _RED if text[:1] == "5" or text in ("INTERNAL", "UNKNOWN", "DATA_LOSS") else _YELLOW)


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def count(number: int, noun: str) -> str:
    """Return `1 service`, `4 services`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
