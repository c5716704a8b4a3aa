"""The record of what happened, and how much memory it may take."""

from __future__ import annotations

import threading

import pytest

from mesh.observing.journal import Change, Entry, Journal, Line
from mesh.observing.span import Span


def span(target: str, request: bytes = b"") -> Span:
    return Span("user", "server", "http", "GET", target, "t", "s", None, 0.0, request=request)


@pytest.mark.parametrize(
    "entry",
    [
        Line("user", "x" * 1000),
        Line("user", "\U0001f600" * 250),
        span("/" + "x" * 1000),
        span("/", b"x" * 1000),
        Change("user", "failed", "x" * 1000),
    ],
)
def test_the_record_keeps_the_newest_entries_within_its_bytes_whatever_their_kind(entry: Entry) -> None:
    journal = Journal(max_bytes=100_000)
    for _ in range(1000):
        journal.append(entry)
    newest = Line("user", "newest")
    journal.append(newest)
    kept = journal.entries()
    assert kept[-1] is newest
    assert 50 <= len(kept) <= 100


def test_the_record_keeps_no_more_entries_than_its_capacity() -> None:
    journal = Journal(capacity=3)
    for number in range(5):
        journal.append(Line("user", str(number)))
    assert [each.text for each in journal.entries() if isinstance(each, Line)] == ["2", "3", "4"]


def test_an_entry_larger_than_the_whole_room_is_given_to_subscribers_and_not_kept() -> None:
    journal = Journal(max_bytes=1000)
    heard: list[Entry] = []
    journal.subscribe(heard.append)
    journal.append(Line("user", "x" * 10_000))
    assert (len(heard), journal.entries()) == (1, [])


def test_entries_of_many_threads_are_counted_exactly() -> None:
    journal = Journal(capacity=50, max_bytes=100_000)

    def append() -> None:
        for number in range(2000):
            journal.append(Line("user", "x" * (number % 3000)))

    threads = [threading.Thread(target=append) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for _ in range(50):
        journal.append(Line("user", "x" * 500))
    assert len(journal.entries()) == 50
