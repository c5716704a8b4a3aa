"""`mesh logs`: the lines of the services, of a mesh that runs and of one that has ended."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, TypeGuard

import click

from mesh.commands.history.recorded import check_name, moment, open_run, run_file
from mesh.commands.terminal.streams import terminal_columns

if TYPE_CHECKING:
    from mesh.observing.journal import Entry, Line
    from mesh.observing.runs import RunFile

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

#: Seconds between two looks at what is new.
POLL_SECONDS = 0.25


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with lines as they come, until Ctrl-C.")
@click.option("--grep", metavar="RE", help="Only lines that this regular expression finds.")
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), help="Only what was logged at it, or above.")
@click.option("--trace", metavar="ID", help="Only lines of this trace; its first digits are enough.")
@click.option("--since", metavar="T", help="Only lines since 30s, 5m, 12:00:01, an ISO date, or after a cursor.")
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Only the last N lines.")
@click.option("--run", "number", type=click.IntRange(1), default=1, metavar="N", help="Of the Nth newest run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def logs(
    name: str | None,
    follow: bool,
    grep: str | None,
    level: str | None,
    trace: str | None,
    since: str | None,
    tail: int | None,
    number: int,
    as_json: bool,
) -> int:
    """Print what the services have written, or NAME alone: of the newest run, whether it runs or has ended."""
    wanted = filter_of(name, grep, level, trace, since)
    with closing(open_run(run_file(number))) as run:
        shown: deque[tuple[int, Line]] = deque(maxlen=tail)
        names = {"mesh"}
        last = 0
        for last, entry in run.entries():
            names |= {entry.service}
            if wanted(entry, last):
                shown.append((last, entry))
        if name is not None and not follow:
            check_name(name, names)
        show = shown_as(as_json, sorted({line.service for _, line in shown}))
        for each in shown:
            show(*each)
        for cursor, entry in following(run, last) if follow else ():
            if wanted(entry, cursor):
                show(cursor, entry)
    return 0


def following(run: RunFile, after: int) -> Iterator[tuple[int, Entry]]:
    """Yield each entry after the cursor as it comes, without an end."""
    while True:
        time.sleep(POLL_SECONDS)
        for cursor, entry in run.entries(after=after):
            after = cursor
            yield cursor, entry


def shown_as(as_json: bool, names: Sequence[str]) -> Callable[[int, Line], None]:
    """Return what prints a line, given its cursor. names: of the services, for the column with the name."""
    from mesh.commands.terminal.lines import line_of, style_for
    from mesh.observing.events import as_event

    style = style_for(names, False, terminal_columns())
    return lambda cursor, line: click.echo(
        as_event(line, cursor=cursor) if as_json else "\n".join(line_of(line, style))
    )


def filter_of(
    name: str | None, grep: str | None, level: str | None, trace: str | None, since: str | None
) -> Callable[[Entry, int], TypeGuard[Line]]:
    """Return what decides whether an entry is a line to show, given its cursor as well.

    Raises UsageError for an invalid regular expression or time.
    """
    from mesh.errors import UsageError
    from mesh.observing.journal import Line

    try:
        pattern = re.compile(grep) if grep else None
    except re.error as error:
        raise UsageError(f"--grep {grep}: {error}") from None
    is_cursor = since is not None and since.isdecimal()
    after = int(since) if since and is_cursor else 0
    start = moment(since) if since and not is_cursor else 0.0
    levels = LEVELS[LEVELS.index(level.upper()) :] if level else ()

    def wanted(line: Entry, cursor: int) -> TypeGuard[Line]:
        return (
            isinstance(line, Line)
            and cursor > after
            and (name is None or line.service == name)
            and (pattern is None or pattern.search(line.text) is not None)
            and (not levels or line.level in levels)
            and (trace is None or (line.trace_id or "").startswith(trace.lower()))
            and line.at >= start
        )

    return wanted
