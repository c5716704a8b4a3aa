"""Changed files, told by their content."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mesh.runtime.reload.contents import MAX_BYTES, Contents

SECOND = 1_000_000_000


def test_a_file_that_was_there_before_the_first_load_is_known_and_a_younger_one_is_not(tmp_path: Path) -> None:
    """A younger one may have been loaded with another content."""
    file = tmp_path / "code.py"
    file.write_text("1")
    for made, is_changed in ((time.time_ns() + SECOND, False), (time.time_ns() - SECOND, True)):
        contents = Contents(made)
        contents.remember([str(file)])
        assert contents.is_changed(str(file)) == is_changed
        assert not contents.is_changed(str(file))


def test_a_file_that_changes_comes_or_goes_has_changed_each_time(tmp_path: Path) -> None:
    contents, file = Contents(), tmp_path / "code.py"
    changed = []
    for text in ("1", "1", "2", "1"):
        file.write_text(text)
        changed.append(contents.is_changed(str(file)))
    file.unlink()
    changed.append(contents.is_changed(str(file)))
    file.write_text("1")
    changed.append(contents.is_changed(str(file)))
    assert changed == [True, False, True, True, True, True]


@pytest.mark.parametrize("size", [MAX_BYTES, MAX_BYTES + 1])
def test_a_large_file_counts_as_changed_whenever_it_is_written(tmp_path: Path, size: int) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * size)
    contents = Contents(time.time_ns() + SECOND)
    contents.remember([str(file)])
    assert contents.is_changed(str(file)) == (size > MAX_BYTES)


def test_a_folder_has_always_changed(tmp_path: Path) -> None:
    contents = Contents()
    assert [contents.is_changed(str(tmp_path)) for _ in range(2)] == [True, True]
