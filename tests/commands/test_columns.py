"""Names of fifty characters leave room for the rest in a terminal of eighty columns."""

from __future__ import annotations

from mesh.commands.history.top import hold_table, table
from mesh.commands.terminal.lines import longest_name, style_for, tree
from mesh.observing.journal import Hold, Line
from mesh.observing.span import Span
from mesh.observing.waterfall import summary, waterfall

LONG = "a-service-with-a-name-of-fifty-characters-in-total"
NAMES = [LONG, *(f"service-{number}" for number in range(19))]


def span(service: str, span_id: str, parent: str | None) -> Span:
    made = Span(service, "server", "http", "GET", "/users/1", "t" * 32, span_id, parent, 1.0, 5.0, "200")
    made.route = "/users/{id}"
    return made


TRACE = [span(LONG, "a", None), span("service-1", "b", "a")]


def test_every_view_of_a_call_fits() -> None:
    assert (len(LONG), longest_name(80)) == (50, 16)
    shown = [
        *tree(TRACE, style_for(NAMES, False, 80)),
        *waterfall(TRACE, [Line(LONG, "loaded", "stdout", 1.0, "t" * 32, "a")], bar=10, longest=16)[2:],
        *table(TRACE, False, 80),
        *hold_table([Hold(LONG, "loop", "load_all_of_them", "/shop/catalogue.py", 123, 200.0)], 10.0, False, 80),
        summary(TRACE, 16),
    ]
    assert [line for line in shown if len(line) > 80] == []
    assert [line for line in shown if LONG in line] == []
    assert sum("a-servi…in-total" in line for line in shown) == 6


def test_without_a_terminal_names_are_whole() -> None:
    assert LONG in "\n".join(table(TRACE, False))
    assert LONG in "\n".join(waterfall(TRACE, []))
    assert LONG in summary(TRACE)
