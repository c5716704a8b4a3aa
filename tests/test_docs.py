"""Follow the README and the pages under docs/ (tests/support/documents.py says how): what they show is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import Block, Reader, blocks, matches

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_the_page_does_what_the_page_says(page: Path, tmp_path: Path) -> None:
    found = list(blocks(page))
    assert all(block.language for block in found), [str(block) for block in found if not block.language]
    (tmp_path / "test-grpc.sh").symlink_to(ROOT / "test-grpc.sh")
    reader = Reader(found, tmp_path)
    try:
        for block in found:
            if block.is_run:
                reader.follow(block)
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("shown", "printed", "notes"),
    [
        ("one\ntwo\n", "one\ntwo", ()),
        ("one ... three", "one or two or three", ()),
        ("one\n...\nfour", "one\ntwo\nthree\nfour", ()),
        ("one\n...", "one", ()),
        ("ready in 148 ms", "ready in 1002 ms", ("times vary",)),
        ("12:00:01 a   3.1 ms", "06:44:07 a    152.3 ms", ("times vary",)),
        ("12:00:01 a   3.1 ms", "06:44:07 a    752.3 ms  slow", ("times vary",)),
        (
            "one\ntwo",
            "one\n12:00:01 a  f at a.py:1 held the GIL for 120 ms; every service waited\ntwo",
            ("times vary",),
        ),
        ("one\ntwo", "two\none", ("any order",)),
    ],
)
def test_a_page_may_leave_open_what_it_marks(shown: str, printed: str, notes: tuple[str, ...]) -> None:
    assert matches(shown, printed, notes)


@pytest.mark.parametrize(
    ("shown", "printed", "notes"),
    [
        ("one", "one\ntwo", ()),
        ("one ... three", "one\nthree", ()),
        ("", "a warning", ()),
        ("ready in 148 ms", "ready in 1002 ms", ()),
        ("201   3.1 ms", "200   3.1 ms", ("times vary",)),
        ("one\ntwo", "two\none", ()),
    ],
)
def test_anything_else_is_a_mistake_of_the_page(shown: str, printed: str, notes: tuple[str, ...]) -> None:
    assert not matches(shown, printed, notes)


def test_a_page_that_shows_something_untrue_is_caught(tmp_path: Path) -> None:
    block = Block(tmp_path / "page.md", 1, "console", "$ echo one\none\n$ echo two\nthree\n", ())
    reader = Reader([block], tmp_path)
    with pytest.raises(AssertionError, match=r"page.md:1: it shows\nthree\n\nand this was printed\ntwo"):
        reader.follow(block)
    reader.close()
