"""`mesh traces` and `mesh trace`: requests and the calls that followed, of this run and of earlier ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from mesh.commands.history.recorded import check_name, duration, flush, open_run, run_file
from mesh.commands.terminal.streams import terminal_columns, write_lines

if TYPE_CHECKING:
    from mesh.observing.journal import Line
    from mesh.observing.span import Span

#: Seconds to wait for the end of the calls under which those of the trace were made.
PATIENCE_SECONDS = 1.0
POLL_SECONDS = 0.05


@click.command()
@click.option("--service", metavar="NAME", help="Only traces that this service took part in.")
@click.option("--errors", is_flag=True, help="Only traces in which a call failed.")
@click.option("--slower", metavar="TIME", help="Only traces that took longer: 100ms, 1.5s.")
@click.option("--where", metavar="FIELD=VALUE", help="Only traces in which a record or a payload has this field.")
@click.option("--tail", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="The last N of them.")
@click.option("--run", "number", type=click.IntRange(1), default=1, metavar="N", help="Of the Nth newest run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per trace.")
def traces(
    service: str | None, errors: bool, slower: str | None, where: str | None, tail: int, number: int, as_json: bool
) -> int:
    """List the requests of the newest run, the oldest first, each with the id that `mesh trace` takes."""
    from mesh.observing.span import Span
    from mesh.observing.waterfall import has_failed, summary

    least = None if slower is None else duration(slower)
    has_value = None if where is None else field_test(where)
    by_trace: dict[str, list[Span]] = {}
    with closing(open_run(run_file(number))) as run:
        for _, entry in run.entries():
            if isinstance(entry, Span):
                by_trace.setdefault(entry.trace_id, []).append(entry)
    if service is not None:
        check_name(service, {each.service for spans in by_trace.values() for each in spans})
    found = sorted((sorted(each, key=lambda span: span.start) for each in by_trace.values()), key=lambda e: e[0].start)
    kept = [
        spans
        for spans in found
        if (service is None or any(each.service == service for each in spans))
        and (not errors or any(map(has_failed, spans)))
        and (least is None or max(each.milliseconds for each in spans) > least)
        and (has_value is None or any(map(has_value, spans)))
    ]
    longest = None if (columns := terminal_columns()) is None or columns >= 120 else 16
    for spans in kept[-tail:]:
        click.echo(json.dumps(_facts(spans)) if as_json else summary(spans, longest))
    return 0


def field_test(where: str) -> Callable[[Span], bool]:
    """Return what tells whether a call has the field with this value, in its record or anywhere in its payloads."""
    from mesh.commands.terminal.payloads import Payloads
    from mesh.errors import UsageError
    from mesh.observing.span import Span

    name, equals, wanted = where.partition("=")
    if not (name and equals):
        raise UsageError(f"--where {where}: write a field and its value, such as status=404 or user_id=1")
    payloads = Payloads()
    is_of_record = name in Span.__struct_fields__

    def is_in(value: object) -> bool:
        if isinstance(value, dict):
            return any((key == name and _text(each) == wanted) or is_in(each) for key, each in value.items())
        return isinstance(value, list) and any(map(is_in, value))

    def has_value(span: Span) -> bool:
        if is_of_record and str(getattr(span, name)) == wanted:
            return True
        return any(map(is_in, payloads.values(span)))

    return has_value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@click.command()
@click.argument("trace_id")
@click.option("-v", "--verbose", is_flag=True, help="With the payloads.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per call and line.")
def trace(trace_id: str, verbose: bool, as_json: bool) -> int:
    """Show one request with all calls and log lines that followed from it; the first digits of its id are enough."""
    from mesh.commands.terminal.payloads import Payloads
    from mesh.observing.critical_path import critical_path
    from mesh.observing.events import as_event
    from mesh.observing.span import Span
    from mesh.observing.waterfall import moment_of

    spans, lines = find(trace_id.lower())
    if as_json:
        critical = critical_path(spans)
        secrets = None if verbose else Payloads().secrets
        entries: list[Span | Line] = [*spans, *lines]
        for entry in sorted(entries, key=moment_of):
            path = {"critical": entry.span_id in critical} if isinstance(entry, Span) else {}
            click.echo(as_event(entry, payloads=verbose, secrets=secrets, **path))
        return 0
    write_lines(shown(spans, lines, verbose))
    if not is_whole(spans):
        write_lines("mesh: the outermost call is missing: it has not ended yet, or was not recorded", err=True)
    return 0


def shown(spans: Sequence[Span], lines: Sequence[Line], verbose: bool = False) -> str:
    """Return the trace as text. verbose: with the payloads."""
    from mesh.commands.terminal.lines import longest_name
    from mesh.observing.waterfall import BAR, waterfall

    payloads: Callable[[Span], list[str]] | None = None
    if verbose:
        from mesh.commands.terminal.payloads import Payloads

        payloads = Payloads().shown
    columns = terminal_columns()
    if columns is None:
        return "\n".join(waterfall(spans, lines, payloads))
    return "\n".join(waterfall(spans, lines, payloads, BAR if columns >= 100 else BAR // 2, longest_name(columns)))


def find(trace_id: str) -> tuple[list[Span], list[Line]]:
    """Return the calls and lines of the trace, from the newest run that has it; UsageError where none or many do."""
    from mesh.commands.project import project_folder
    from mesh.errors import UsageError
    from mesh.observing.journal import Line
    from mesh.observing.runs import run_files
    from mesh.observing.span import Span

    run_file(1)
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        for file in run_files(project_folder()):
            with closing(open_run(file)) as run:
                entries = [entry for _, entry in run.entries(trace_id)]
            spans = [each for each in entries if isinstance(each, Span)]
            if len(ids := {each.trace_id for each in spans}) > 1:
                raise UsageError(f"{trace_id} begins {len(ids)} traces: {', '.join(sorted(ids)[:3])}; give more digits")
            if spans:
                break
        # Longer only while a running mesh may add to it.
        if (spans and is_whole(spans)) or time.monotonic() > until or not flush():
            break
        time.sleep(POLL_SECONDS)
    if not spans:
        raise UsageError(f"no trace {trace_id} is recorded here; `mesh traces` lists those that are")
    return spans, [each for each in entries if isinstance(each, Line)]


def is_whole(spans: Sequence[Span]) -> bool:
    """Return whether the call for which each one was made has ended as well."""
    known = {each.span_id for each in spans}
    return all(each.is_root or each.parent_id in known for each in spans)


def _facts(spans: Sequence[Span]) -> dict[str, object]:
    """Return what `mesh traces --json` prints of a trace."""
    from mesh.observing.waterfall import has_failed

    first = spans[0]
    return {
        "trace_id": first.trace_id,
        "start": first.start,
        "service": first.service,
        "name": first.name,
        "status": first.status,
        "milliseconds": round(first.milliseconds, 3),
        "calls": sum(each.kind == "server" for each in spans),
        "failed": sum(map(has_failed, spans)),
    }
