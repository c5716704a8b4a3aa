"""Every line under the name of the service that wrote it."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.hosting.conftest import Neighbours


def test_printed_lines_are_told_by_service_and_stream(neighbours: Neighbours) -> None:
    one, two = neighbours.add("one"), neighbours.add("two")
    neighbours.within(one, print, "a", "b")
    neighbours.within(two, print, "to the other", file=sys.stderr)
    neighbours.within(one, print, "half", end="")
    neighbours.within(two, print, "whole\nand another")
    neighbours.within(one, print, " and half")
    neighbours.within(one, sys.stdout.buffer.write, b"")
    neighbours.within(one, lambda: sys.stdout.buffer.write(b"bytes \xff\n"))
    assert neighbours.lines == [
        ("one", "stdout", "a b"),
        ("two", "stderr", "to the other"),
        ("two", "stdout", "whole"),
        ("two", "stdout", "and another"),
        ("one", "stdout", "half and half"),
        ("one", "stdout", "bytes �"),
    ]


def test_lines_of_two_threads_do_not_mix(neighbours: Neighbours) -> None:
    """print() writes its text and its newline apart."""
    one, begun, other_done = neighbours.add("one"), threading.Event(), threading.Event()

    def write() -> None:
        print("slow", end="")
        begun.set()
        other_done.wait(30)
        print(" line")

    thread = threading.Thread(target=write)
    neighbours.within(one, thread.start)
    begun.wait(30)
    neighbours.within(one, print, "quick line")
    other_done.set()
    thread.join(5)
    assert neighbours.lines == [("one", "stdout", "quick line"), ("one", "stdout", "slow line")]


def test_a_message_with_cr_lf_is_one_line_and_a_cr_lf_at_its_end_is_a_line_end(neighbours: Neighbours) -> None:
    one = neighbours.add("one")
    neighbours.within(one, print, "login of x\r\nlogin of admin")
    neighbours.within(one, sys.stdout.write, "from Windows\r\n")
    neighbours.within(one, print, "a\nb")
    assert [text for _, _, text in neighbours.lines] == ["login of x\r\nlogin of admin", "from Windows", "a", "b"]


def test_a_line_is_bounded_however_it_comes(neighbours: Neighbours) -> None:
    one = neighbours.add("one")
    neighbours.within(one, print, "x" * 10_000_000)
    for _ in range(40):
        neighbours.within(one, sys.stdout.write, "y" * 1000)
    neighbours.within(one, print)
    neighbours.within(one, print, "z" * (16 * 1024))
    cut = [text for _, _, text in neighbours.lines]
    assert [len(text) for text in cut] == [16384, 16384, 16384]
    assert cut[0] == "x" * 16383 + "…"
    assert cut[1] == "y" * 16383 + "…"
    assert cut[2] == "z" * 16384


def test_the_last_line_is_not_lost_for_want_of_a_newline(neighbours: Neighbours) -> None:
    neighbours.within(neighbours.add("one"), sys.stdout.write, "the end")
    assert neighbours.lines == []
    neighbours.close()
    assert neighbours.lines == [("one", "stdout", "the end")]


def test_outside_a_service_nothing_changes(neighbours: Neighbours, capsys: pytest.CaptureFixture[str]) -> None:
    routed = sys.stdout
    print("mesh itself")
    assert neighbours.lines == []
    neighbours.isolation.uninstall()
    print("afterwards")
    assert sys.stdout is not routed
    neighbours.isolation.install()
