"""Journal entries as lines of text. Pure: nothing here writes."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mesh.commands.terminal.timings import timings
from mesh.control.api import as_json
from mesh.observing.escaping import COLOUR, PROGRESS, escaped, shortened
from mesh.observing.journal import Change, Line
from mesh.observing.span import Span
from mesh.runtime.messages import ServiceState, Snapshot
from mesh.runtime.start_times import StartTimes

#: CR LF does not end a line here: a client could send it to forge another line of the log.
_LINE_END = re.compile(r"(?<!\r)\n")
#: For the names of services in turn; red and yellow are for errors and warnings.
_NAMES = [f"\x1b[{number}m" for number in (36, 32, 35, 34, 96, 92, 95, 94)]
_RED, _YELLOW, _DIM, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


#: A call that takes longer is marked.
SLOW_MILLISECONDS = 500
#: Columns that a name and a call get at least, and those of a line beside both.
_LEAST_NAME, _LEAST_WHAT, _BESIDE = 12, 20, 30


class Style(Struct, frozen=True):
    """The style of lines.

    colour: whether to write escape sequences. width: columns for the name of a service. names: of the services, each of
    which gets a colour. what: columns for what was called. longest: a longer name is cut in its middle; None cuts none.
    """

    colour: bool
    width: int
    names: tuple[str, ...] = ()
    what: int = 38
    longest: int | None = None

    def paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self.colour else text

    def name(self, service: str) -> str:
        """Return the column with the service's name."""
        padded = f"{shortened(service, self.longest):<{self.width}}"
        return self.paint(padded, _NAMES[self.names.index(service) % len(_NAMES)]) if service in self.names else padded

    def text(self, text: str) -> str:
        """Return a line of a service, with its own colours where there may be any."""
        text = PROGRESS.sub("", text)
        if not self.colour:
            return escaped(COLOUR.sub("", text))
        parts = [each if index % 2 else escaped(each) for index, each in enumerate(COLOUR.split(text))]
        return "".join(parts) + (_PLAIN if len(parts) > 1 else "")


def longest_name(columns: int) -> int:
    """Return how many columns a name may take in a terminal of this width."""
    return max(_LEAST_NAME, columns // 5)


def style_for(names: Sequence[str], colour: bool, columns: int | None) -> Style:
    """Return the style for these services. columns: the width of the terminal; None for a file or a pipe."""
    longest = max(map(len, names), default=0)
    if columns is None:
        return Style(colour, longest, tuple(names))
    most = longest_name(columns)
    width = min(longest, most)
    return Style(colour, width, tuple(names), max(_LEAST_WHAT, min(38, columns - width - _BESIDE)), most)


class Header(Struct, frozen=True):
    """The banner's content.

    milliseconds: from the command's start until every service was ready or had failed. times: where they went, if that
    is wanted. link: the url, with what lets a browser in; empty if it is not to be shown.
    """

    version: str
    snapshot: Snapshot
    milliseconds: float
    url: str
    times: StartTimes | None = None
    link: str = ""

    def as_json(self) -> dict[str, Any]:
        shown = {"milliseconds": round(self.milliseconds, 1), "url": self.url, **as_json(self.snapshot)}
        return shown if self.times is None else {**shown, "timings": self.times.as_json()}


def banner(header: Header, style: Style) -> list[str]:
    """Return the lines that list the services and their addresses."""
    services = header.snapshot.services
    ports = sum(len(each.http) + (each.grpc is not None) + len(each.tcp) for each in services)
    counted = f"{count(len(services), 'service')}  {count(ports, 'port')}"
    failed = sum(each.state == "failed" for each in services)
    ready = f"{len(services) - failed} of {len(services)} ready, {failed} failed," if failed else "ready"
    name = escaped(header.snapshot.topology)
    return [
        style.paint(f"mesh {header.version}  {name}  {counted}  {ready} in {header.milliseconds:.0f} ms", _BOLD),
        header.link or header.url,
        "",
        *(f"  {_whole_name(each.name, style)}  {where(each, style)}".rstrip() for each in services),
        "",
        *(timings(header.times, header.milliseconds) if header.times is not None else ()),
    ]


def _whole_name(name: str, style: Style) -> str:
    return replace(style, longest=None).name(name)


def where(state: ServiceState, style: Style) -> str:
    """Return a service's addresses, ready to click or curl, after the reason if it is stale or has failed."""
    parts = [] if state.state == "ready" else [style.paint(state.state, _RED if state.state == "failed" else _YELLOW)]
    parts += [state.urls[0], *(f":{address.port}" for address in state.http[1:])] if state.http else []
    parts += state.places
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
            lines += _call(span, depth, style)
        stack += [(child, depth if is_client else depth + 1) for child in reversed(inner)]
    return lines


def line_of(line: Line, style: Style) -> list[str]:
    """Return each line of a service's output under the service's name."""
    prefix = f"{style.paint(_clock(line.at), _DIM)} {style.name(line.service)}"
    is_error = line.level in ("ERROR", "CRITICAL")
    texts = map(style.text, _LINE_END.split(line.text.removesuffix("\n")))
    return [f"{prefix}  {style.paint(text, _RED) if is_error else text}".rstrip() for text in texts]


def failure(change: Change, style: Style) -> list[str]:
    """Return why a service failed, with its name given once."""
    reason = (change.reason or "").removeprefix(f"{change.service}: ")
    return line_of(Line(change.service, escaped(f"failed: {reason}"), "mesh", change.at, level="ERROR"), style)


def _call(span: Span, depth: int, style: Style) -> list[str]:
    """Return the line of a call, and under it what its handler failed of."""
    what = f"grpc {span.name}" if span.protocol == "grpc" else span.name
    what = f"-> {span.peer or span.declared} {what}" if span.kind == "client" else what
    shown = f"{'  ' * depth}{escaped(span.way or what)}"
    status = f"{span.status or span.error or '':<5}"
    began = style.paint(_clock(span.start), _DIM)
    took = f"{span.milliseconds:7.1f} ms"
    if span.milliseconds >= SLOW_MILLISECONDS and not span.response_type.startswith("text/event-stream"):
        took = style.paint(f"{took}  slow", _YELLOW)
    lines = [f"{began} {style.name(span.service)}  {shown:<{style.what}}  {_painted(status, style)} {took}"]
    if span.cause:
        cause = style.paint(escaped(span.cause), _RED)
        lines.append(f"{began} {style.name(span.service)}  {'  ' * depth}  {cause}")
    return lines


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
