"""`mesh diff`: how the answers of two runs, or of the code before and after an edit, differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from mesh.commands.history.recorded import open_run, run_file
from mesh.commands.terminal.streams import write_lines

if TYPE_CHECKING:
    from mesh.observing.route_statistics import RouteStatistics
    from mesh.observing.span import Span


@click.command()
@click.option("--before", type=click.IntRange(1), default=2, show_default=True, metavar="N", help="The Nth newest run.")
@click.option("--after", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="The Nth newest run.")
@click.option("--reload", "by_generation", is_flag=True, help="Within the run --after: before and after a reload.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per route.")
def diff(before: int, after: int, by_generation: bool, as_json: bool) -> int:
    """Compare two runs route by route: statuses, shape of JSON answers, calls made, p50 and number of calls.

    The exit status is 1 if a route that both have differs in one of the first three.
    """
    from mesh.observing.route_statistics import by_route

    newer = spans_of(after)
    pair = last_generations(newer) if by_generation else (spans_of(before), newer)
    old, new = map(by_route, pair)
    rows = [difference(key, old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys())]
    write_lines("\n".join(map(json.dumps, rows) if as_json else map(line_of, rows)) if rows else "nothing to compare")
    return 1 if any(row["state"] == "changed" for row in rows) else 0


def spans_of(number: int) -> list[Span]:
    from mesh.observing.span import Span

    with closing(open_run(run_file(number))) as run:
        return [entry for _, entry in run.entries() if isinstance(entry, Span)]


def last_generations(spans: Sequence[Span]) -> tuple[list[Span], list[Span]]:
    """Return the calls of each service's last code but one, and of its last; a service with one alone has none."""
    generations: dict[str, set[int]] = {}
    for span in spans:
        generations.setdefault(span.service, set()).add(span.generation)
    last = {service: sorted(each)[-2:] for service, each in generations.items() if len(each) > 1}
    old, new = (
        [span for span in spans if span.service in last and span.generation == last[span.service][index]]
        for index in (0, 1)
    )
    return old, new


def difference(key: tuple[str, str], old: RouteStatistics | None, new: RouteStatistics | None) -> dict[str, Any]:
    """Return the facts of a route as `--json` prints them; a pair holds what was before, and after."""
    row: dict[str, Any] = {"service": key[0], "route": key[1]}
    if old is None or new is None:
        found = new or old
        assert found is not None
        return {**row, "state": "new" if old is None else "gone", "calls": found.calls}
    pair = (old, new)
    statuses = [sorted(each.statuses) for each in pair]
    made = [round(each.made / each.calls, 2) for each in pair]
    shape = [
        *(f"-{each}" for each in sorted(old.shapes - new.shapes)),
        *(f"+{each}" for each in sorted(new.shapes - old.shapes)),
    ]
    is_changed = statuses[0] != statuses[1] or made[0] != made[1] or bool(shape and old.shapes and new.shapes)
    return {
        **row,
        "state": "changed" if is_changed else "same",
        "statuses": statuses,
        "shape": shape if old.shapes and new.shapes else [],
        "made": made,
        "p50": [round(each.percentile(50), 3) for each in pair],
        "calls": [each.calls for each in pair],
    }


def line_of(row: dict[str, Any]) -> str:
    """Return the facts of a route on a line: what differs, then p50 and the number of calls."""
    parts = [f"{row['state']:<7}", row["service"], row["route"]]
    if row["state"] in ("new", "gone"):
        return "  ".join([*parts, f"calls {row['calls']}"])
    parts += _changed("status", (", ".join(each) for each in row["statuses"]))
    parts += _changed("makes", (f"{each:g} calls" for each in row["made"]))
    parts += row["shape"]
    parts.append("p50 {:.1f} -> {:.1f} ms".format(*row["p50"]))
    return "  ".join([*parts, "calls {} -> {}".format(*row["calls"])])


def _changed(name: str, pair: Iterable[str]) -> list[str]:
    before, after = pair
    return [] if before == after else [f"{name} {before} -> {after}"]
