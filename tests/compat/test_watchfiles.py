"""watchfiles' backend sees changes from when it is made; its public `watch` does so only once it is waited for."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import watchfiles

from mesh.compat.watchfiles import MODIFIED, FolderWatch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    (tmp_path / "old.py").write_text("1")
    os.utime(tmp_path / "old.py", (0, 0))  # polling compares times
    return tmp_path.resolve()


def changed(watch: FolderWatch, wanted: Path) -> set[int]:
    """Wait until this file has changed; the kinds of change that were told of it."""
    for _ in range(60):
        if kinds := {kind for kind, path in watch.changes(50, 5, 300) if path == str(wanted)}:
            return kinds
    raise AssertionError(f"no change of {wanted} was seen")


@pytest.mark.parametrize("polling", [False, True])
def test_what_is_written_before_anybody_waits_is_seen(folder: Path, polling: bool) -> None:
    watch = FolderWatch([str(folder)], polling, 20)
    (folder / "old.py").write_text("longer")
    assert MODIFIED in changed(watch, folder / "old.py")
    watch.close()


def test_what_lies_deeper_is_not_seen_and_a_new_file_is_told_of_as_added(folder: Path) -> None:
    watch = FolderWatch([str(folder)], False, 20)
    (folder / "below" / "deep.py").write_text("1")
    (folder / "new.py").write_text("1")
    seen = watch.changes(50, 5, 5000)
    assert (watchfiles.Change.added.value, str(folder / "new.py")) in seen
    assert str(folder / "below" / "deep.py") not in {path for _, path in seen}
    watch.close()


def test_a_wait_ends_without_changes_at_its_timeout_and_when_it_is_told_to_stop(folder: Path) -> None:
    watch = FolderWatch([str(folder)], False, 20)
    stopped = threading.Event()
    stopped.set()
    assert watch.changes(50, 5, 1) == set()
    assert watch.changes(50, 5, 0, stopped) == set()
    watch.close()


def test_a_folder_that_is_missing_is_left_out(folder: Path) -> None:
    watch = FolderWatch([str(folder / "none"), str(folder)], False, 20)
    (folder / "old.py").write_text("longer")
    assert MODIFIED in changed(watch, folder / "old.py")
    watch.close()


def test_the_public_watch_misses_what_is_written_before_it_is_waited_for(folder: Path) -> None:
    found = watchfiles.watch(folder, recursive=False, rust_timeout=100, yield_on_timeout=True, debounce=50, step=5)
    (folder / "old.py").write_text("longer")
    assert next(found) == set()
    found.close()


def test_modified_is_watchfiles_own_number() -> None:
    assert watchfiles.Change.modified.value == MODIFIED
