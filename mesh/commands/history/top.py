"""`mesh top`: which routes were called most, for how long, and how often they failed."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mesh.commands.history.recorded import flush, moment, open_run, run_file
from mesh.commands.terminal.streams import write_lines

if TYPE_CHECKING:
    from mesh.observing.journal import Hold
    from mesh.observing.span import Span

#: Seconds between two tables.
REFRESH_SECONDS = 2.0


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with a new table every two seconds, until Ctrl-C.")
@click.option("--since", metavar="T", help="Only calls since T: 30s, 5m, 2h, 12:00:01, or an ISO date.")
@click.option("--run", "number", type=click.IntRange(1), default=1, metavar="N", help="Of the Nth newest run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per route.")
def top(follow: bool, since: str | None, number: int, as_json: bool) -> int:
    """Print the routes of the newest run by the time that their calls took in all, and what held up others."""
    from mesh.observing.journal import Hold
    from mesh.observing.span import Span

    run = open_run(run_file(number))
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
        lines = table([each for each in spans if each.start >= start], as_json)
        lines += hold_table([each for each in holds if each.at >= start], seconds, as_json)
        write_lines("\n".join(lines))
        if not follow:
            break
        time.sleep(REFRESH_SECONDS)
        flush()
    run.close()
    return 0


def hold_table(holds: Sequence[Hold], seconds: float, as_json: bool) -> list[str]:
    """Return a line for each place that held up others, after a head; or a JSON object for each.

    seconds: the time of which the shares are.
    """
    places: dict[tuple[str, str, str, str], list[Hold]] = {}
    for hold in holds:
        places.setdefault((hold.service, hold.what, hold.file, hold.function), []).append(hold)
    rows = [_hold_row(each, seconds) for each in places.values()]
    rows.sort(key=lambda row: -row["total"])
    if as_json or not rows:
        return [json.dumps(row) for row in rows]
    width = max(len("service"), *(len(row["service"]) for row in rows))
    shown = {id(row): f"{row['function']} at {Path(row['file']).name}:{row['line']}" for row in rows}
    place = max(len("where"), *map(len, shown.values()))
    head = f"{'service':<{width}}  held  {'where':<{place}}    times    max ms   total ms   share"
    return ["", head] + [
        f"{row['service']:<{width}}  {row['held']:<4}  {shown[id(row)]:<{place}}  {row['times']:>7} {row['max']:>9.1f} "
        f"{row['total']:>10.1f} {row['share']:>6.1f}%"
        for row in rows
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


def table(spans: Sequence[Span], as_json: bool) -> list[str]:
    """Return a line for each route, after a head; or a JSON object for each."""
    from mesh.observing.route_statistics import by_route

    found = sorted(by_route(spans).items(), key=lambda each: -sum(each[1].durations))
    rows = [
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
    width = max(len("service"), *(len(service) for (service, _), _ in found))
    name = max(len("route"), *(len(route) for (_, route), _ in found))
    head = f"{'service':<{width}}  {'route':<{name}}    calls  failed    p50 ms    p95 ms   total ms"
    return [head] + [
        f"{row['service']:<{width}}  {row['route']:<{name}}  {row['calls']:>7} {row['failed']:>7} "
        f"{row['p50']:>9.1f} {row['p95']:>9.1f} {row['total']:>10.1f}"
        for row in rows
    ]
