"""Every line under the name of the service that wrote it."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.hosting.conftest import Hosted


def test_printed_lines_are_told_by_service_and_stream(hosted: Hosted) -> None:
    one, two = hosted.add("one"), hosted.add("two")
    hosted.within(one, print, "a", "b")
    hosted.within(two, print, "to the other", file=sys.stderr)
    hosted.within(one, print, "half", end="")
    hosted.within(two, print, "whole\nand another")
    hosted.within(one, print, " and half")
    hosted.within(one, sys.stdout.buffer.write, b"")
    hosted.within(one, lambda: sys.stdout.buffer.write(b"bytes \xff\n"))
    assert hosted.lines == [
        ("one", "stdout", "a b"),
        ("two", "stderr", "to the other"),
        ("two", "stdout", "whole"),
        ("two", "stdout", "and another"),
        ("one", "stdout", "half and half"),
        ("one", "stdout", "bytes �"),
    ]


def test_lines_of_two_threads_do_not_mix(hosted: Hosted) -> None:
    """print() writes its text and its newline apart."""
    one, begun, other_done = hosted.add("one"), threading.Event(), threading.Event()

    def write() -> None:
        print("slow", end="")
        begun.set()
        other_done.wait(30)
        print(" line")

    thread = threading.Thread(target=write)
    hosted.within(one, thread.start)
    begun.wait(30)
    hosted.within(one, print, "quick line")
    other_done.set()
    thread.join(5)
    assert hosted.lines == [("one", "stdout", "quick line"), ("one", "stdout", "slow line")]


def test_a_message_with_cr_lf_is_one_line_and_a_cr_lf_at_its_end_is_a_line_end(hosted: Hosted) -> None:
    one = hosted.add("one")
    hosted.within(one, print, "login of x\r\nlogin of admin")
    hosted.within(one, sys.stdout.write, "from Windows\r\n")
    hosted.within(one, print, "a\nb")
    assert [text for _, _, text in hosted.lines] == ["login of x\r\nlogin of admin", "from Windows", "a", "b"]


def test_a_line_is_bounded_however_it_comes(hosted: Hosted) -> None:
    one = hosted.add("one")
    hosted.within(one, print, "x" * 10_000_000)
    for _ in range(40):
        hosted.within(one, sys.stdout.write, "y" * 1000)
    hosted.within(one, print)
    hosted.within(one, print, "z" * (16 * 1024))
    cut = [text for _, _, text in hosted.lines]
    assert [len(text) for text in cut] == [16384, 16384, 16384]
    assert cut[0] == "x" * 16383 + "…"
    assert cut[1] == "y" * 16383 + "…"
    assert cut[2] == "z" * 16384


def test_the_last_line_is_not_lost_for_want_of_a_newline(hosted: Hosted) -> None:
    hosted.within(hosted.add("one"), sys.stdout.write, "the end")
    assert hosted.lines == []
    hosted.close()
    assert hosted.lines == [("one", "stdout", "the end")]


def test_outside_a_service_nothing_changes(hosted: Hosted, capsys: pytest.CaptureFixture[str]) -> None:
    routed = sys.stdout
    print("mesh itself")
    assert hosted.lines == []
    hosted.isolation.uninstall()
    print("afterwards")
    assert sys.stdout is not routed
    hosted.isolation.install()
