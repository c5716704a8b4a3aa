"""The thread that writes to the terminal, and what waits for it."""

from __future__ import annotations

import io
import threading
import tracemalloc

from mesh.commands.terminal.lines import Style
from mesh.commands.terminal.printer import Printer
from mesh.observing.journal import MAX_BYTES, Line
from mesh.observing.span import Span


class Stuck(io.StringIO):
    """A terminal that takes nothing until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()
        self.longest = 0

    def write(self, text: str) -> int:
        self.entered.set()
        self.go.wait(30)
        self.longest = max(self.longest, len(text))
        return super().write(text)


def test_what_waits_for_a_slow_terminal_is_bounded_in_bytes_and_the_rest_is_counted() -> None:
    terminal = Stuck()
    printer = Printer(terminal, Style(False, 4), dict, as_json=False, quiet=False)
    printer(Line("user", "first"))
    assert terminal.entered.wait(30)
    tracemalloc.start()
    for number in range(4000):
        printer(Line("user", f"{number:05}" + "\U0001f600" * 4000))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1.1 * MAX_BYTES
    terminal.go.set()
    printer.close()
    lines = terminal.getvalue().splitlines()
    written = sum("\U0001f600" in line for line in lines)
    assert f"({4000 - written} lines left out: the terminal is too slow)" in lines
    assert written > 1000
    assert terminal.longest < 1_000_000


def test_the_last_line_before_a_hard_end_is_waited_for_but_not_for_ever() -> None:
    for terminal in (io.StringIO(), Stuck()):
        printer = Printer(terminal, Style(False, 4), dict, as_json=False, quiet=False)
        printer(last := Line("user", "last"))
        printer.write_last(last)
        assert ("last" in terminal.getvalue()) is not isinstance(terminal, Stuck)
        if isinstance(terminal, Stuck):
            terminal.go.set()
        printer.close()


class Heard(io.StringIO):
    """A terminal that tells when a line has been written."""

    def __init__(self) -> None:
        super().__init__()
        self.news = threading.Condition()

    def write(self, text: str) -> int:
        with self.news:
            self.news.notify_all()
            return super().write(text)

    def wait_for(self, text: str) -> None:
        with self.news:
            assert self.news.wait_for(lambda: text in self.getvalue(), 30)


def test_calls_whose_caller_never_ends_do_not_fill_the_memory() -> None:
    terminal = Heard()
    printer = Printer(terminal, Style(False, 4), dict, as_json=False, quiet=False)
    for part in range(5):
        for number in range(5000):
            printer(call(f"{part}.{number}", "root"))
        printer(Line("user", f"part {part} is over"))
        terminal.wait_for(f"part {part} is over")
    printer(call("root", None))
    printer.close()
    assert terminal.getvalue().count("GET /") == 5001  # the newest, and the call that made them


def call(span_id: str, parent_id: str | None) -> Span:
    return Span(
        "user", "server", "http", "GET", "/", "one trace", span_id, parent_id, 0.0, 1.0, "200", parent_id is None
    )
