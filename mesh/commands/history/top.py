"""`mesh top`: which routes were called most, for how long, and how often they failed."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mesh.commands.history.recorded import flush, moment, open_run, run_file
from mesh.commands.terminal.streams import terminal_columns, write_lines
from mesh.observing.escaping import shortened

if TYPE_CHECKING:
    from mesh.observing.journal import Hold
    from mesh.observing.span import Span

#: Seconds between two tables.
REFRESH_SECONDS = 2.0
#: Columns of a route or a place, however narrow the terminal is.
LEAST_TEXT = 14


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with a new table every two seconds, until Ctrl-C.")
@click.option("--since", metavar="T", help="Only calls since T: 30s, 5m, 2h, 12:00:01, or an ISO date.")
@click.option("--run", "number", type=click.IntRange(1), default=1, metavar="N", help="Of the Nth newest run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per route.")
def top(follow: bool, since: str | None, number: int, as_json: bool) -> int:
    """Print the routes of the newest run by the time that their calls took in all, and what held up others."""
    from mesh.observing.journal import Hold
    from mesh.observing.span import Span

    with closing(open_run(run_file(number))) as run:
        spans: list[Span] = []
        holds: list[Hold] = []
        first, newest, last = 0.0, 0.0, 0
        while True:
            for cursor, entry in run.entries(after=last):
                last = cursor
                at = entry.start if isinstance(entry, Span) else entry.at
                first, newest = first or at, max(newest, at)
                if isinstance(entry, Span):
                    spans.append(entry)
                elif isinstance(entry, Hold):
                    holds.append(entry)
            start = moment(since) if since else 0.0
            if follow and not as_json:
                click.clear()
            seconds = max(newest, time.time() if follow else 0.0) - max(first, start)
            lines = table([each for each in spans if each.start >= start], as_json, terminal_columns())
            lines += hold_table([each for each in holds if each.at >= start], seconds, as_json, terminal_columns())
            write_lines("\n".join(lines))
            if not follow:
                break
            time.sleep(REFRESH_SECONDS)
            flush()
    return 0


def hold_table(holds: Sequence[Hold], seconds: float, as_json: bool, columns: int | None = None) -> list[str]:
    """Return a line for each place that held up others, after a head; or a JSON object for each.

    seconds: the time of which the shares are. columns: of the terminal.
    """
    places: dict[tuple[str, str, str, str], list[Hold]] = {}
    for hold in holds:
        places.setdefault((hold.service, hold.what, hold.file, hold.function), []).append(hold)
    rows = [_hold_row(each, seconds) for each in places.values()]
    rows.sort(key=lambda row: -row["total"])
    if as_json or not rows:
        return [json.dumps(row) for row in rows]
    shown = [f"{row['function']} at {Path(row['file']).name}:{row['line']}" for row in rows]
    width, place = _columns([(row["service"], text) for row, text in zip(rows, shown, strict=True)], columns, 42)
    head = f"{'service':<{width}}  held  {'where':<{place}}  times    max ms  total ms  share"
    return ["", head] + [
        f"{shortened(row['service'], width):<{width}}  {row['held']:<4}  {shortened(text, place):<{place}}  "
        f"{row['times']:>5} {row['max']:>9.1f} {row['total']:>9.1f} {row['share']:>5.1f}%"
        for row, text in zip(rows, shown, strict=True)
    ]


def _hold_row(holds: Sequence[Hold], seconds: float) -> dict[str, Any]:
    first, total = holds[0], sum(each.milliseconds for each in holds)
    return {
        "service": first.service,
        "held": first.what,
        "function": first.function,
        "file": first.file,
        "line": first.line,
        "times": len(holds),
        "max": round(max(each.milliseconds for each in holds), 1),
        "total": round(total, 1),
        "share": round(min(100.0, total / 10 / seconds), 1) if seconds > 0 else 100.0,
    }


def table(spans: Sequence[Span], as_json: bool, columns: int | None = None) -> list[str]:
    """Return a line for each route, after a head; or a JSON object for each. columns: of the terminal."""
    from mesh.observing.route_statistics import by_route

    found = sorted(by_route(spans).items(), key=lambda each: -sum(each[1].durations))
    rows: list[dict[str, Any]] = [
        {
            "service": service,
            "route": route,
            "calls": each.calls,
            "failed": each.failed,
            "p50": round(each.percentile(50), 3),
            "p95": round(each.percentile(95), 3),
            "total": round(sum(each.durations), 3),
        }
        for (service, route), each in found
    ]
    if as_json:
        return [json.dumps(row) for row in rows]
    if not rows:
        return ["no call is recorded"]
    service, route = _columns([(row["service"], row["route"]) for row in rows], columns, 50)
    head = f"{'service':<{service}}  {'route':<{route}}    calls  failed    p50 ms    p95 ms   total ms"
    return [head] + [
        f"{shortened(row['service'], service):<{service}}  {shortened(row['route'], route):<{route}}  "
        f"{row['calls']:>7} {row['failed']:>7} {row['p50']:>9.1f} {row['p95']:>9.1f} {row['total']:>10.1f}"
        for row in rows
    ]


def _columns(cells: Sequence[tuple[str, str]], columns: int | None, beside: int) -> tuple[int, int]:
    """Return the widths of a service's name and of the text after it. beside: columns of all that follows."""
    from mesh.commands.terminal.lines import longest_name

    first, second = (max(len("service"), *(len(cell[index]) for cell in cells)) for index in (0, 1))
    if columns is None:
        return first, second
    first = min(first, longest_name(columns))
    return first, min(second, max(LEAST_TEXT, columns - first - beside))
