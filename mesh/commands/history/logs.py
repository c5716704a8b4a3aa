"""`mesh logs`: the lines of the services, of a mesh that runs and of one that has ended."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from mesh.commands.history.recorded import moment, open_run, run_file

if TYPE_CHECKING:
    from mesh.observing.journal import Line

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

#: Seconds between two looks at what is new.
POLL_SECONDS = 0.25


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with lines as they come, until Ctrl-C.")
@click.option("--grep", metavar="RE", help="Only lines that this regular expression finds.")
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), help="Only what was logged at it, or above.")
@click.option("--trace", metavar="ID", help="Only lines of this trace; its first digits are enough.")
@click.option("--since", metavar="T", help="Only lines since T: 30s, 5m, 2h, 12:00:01, or an ISO date.")
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
    from mesh.commands.terminal.lines import Style, line_of
    from mesh.observing.events import as_event
    from mesh.observing.journal import Line

    wanted = filter_of(name, grep, level, trace, since)
    run = open_run(run_file(number))
    shown: deque[Line] = deque(maxlen=tail)
    last = 0
    for number, entry in run.entries():
        last = number
        if isinstance(entry, Line) and wanted(entry):
            shown.append(entry)
    width = max((len(each.service) for each in shown), default=0)

    def show(line: Line) -> None:
        click.echo(as_event(line) if as_json else "\n".join(line_of(line, Style(False, width))))

    for line in shown:
        show(line)
    while follow:
        time.sleep(POLL_SECONDS)
        for number, entry in run.entries(after=last):
            last = number
            if isinstance(entry, Line) and wanted(entry):
                show(entry)
    run.close()
    return 0


def filter_of(
    name: str | None, grep: str | None, level: str | None, trace: str | None, since: str | None
) -> Callable[[Line], bool]:
    """Return what decides whether a line is shown; UsageError for an expression or a time that is none."""
    from mesh.errors import UsageError

    try:
        pattern = re.compile(grep) if grep else None
    except re.error as error:
        raise UsageError(f"--grep {grep}: {error}") from None
    start = moment(since) if since else 0.0
    levels = LEVELS[LEVELS.index(level.upper()) :] if level else ()

    def wanted(line: Line) -> bool:
        return (
            (name is None or line.service == name)
            and (pattern is None or pattern.search(line.text) is not None)
            and (not levels or line.level in levels)
            and (trace is None or (line.trace_id or "").startswith(trace))
            and line.at >= start
        )

    return wanted
