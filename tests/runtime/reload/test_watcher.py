"""The watcher's reports, and its fallback to polling."""

from __future__ import annotations

import itertools
import queue
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import watchfiles._rust_notify

from mesh.compat.watchfiles import MODIFIED, FolderWatch
from mesh.runtime.messages import Changed
from mesh.runtime.reload.source_folders import edited
from mesh.runtime.reload.watcher import Watcher

PATIENCE = 30.0


class Watching:
    """A watcher, and what it has told so far."""

    def __init__(self, folder: Path) -> None:
        self.folders = [folder]
        self.said: queue.Queue[str] = queue.Queue()
        self._told: queue.Queue[Changed] = queue.Queue()
        self._watcher = Watcher(lambda: self.folders, self._told.put, self.said.put)
        self._seen: set[Path] = set()

    def start(self) -> None:
        """Return when it watches: when it has told of a file that is written again and again."""
        self._watcher.start()
        probe = self.folders[0] / "probe"
        for number in range(1000):
            probe.write_text(str(number))
            try:
                assert probe in self._told.get(timeout=0.05).files
            except queue.Empty:
                continue
            return

    def until(self, file: Path) -> None:
        """Wait until it tells of the file."""
        while file not in self._seen:
            self._seen |= self._told.get(timeout=PATIENCE).files
        self._seen = set()

    def untold(self, last: Path) -> set[Path]:
        """Return all that is told up to this file."""
        told: set[Path] = set()
        while last not in told:
            told |= self._told.get(timeout=PATIENCE).files
        return {each for each in told if each.name != "probe"} - {last}

    def told_until(self, last: Path) -> int:
        """Return how often it tells something, up to this file."""
        for count in itertools.count(1):
            if last in self._told.get(timeout=PATIENCE).files:
                return count
        raise AssertionError

    def stop(self) -> None:
        self._watcher.stop()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[[], Watching]]:
    made = Watching(tmp_path.resolve())

    def start() -> Watching:
        made.start()
        return made

    yield start
    made.stop()


def test_a_new_folder_and_what_is_written_in_it_at_once_is_told(watch: Callable[[], Watching], tmp_path: Path) -> None:
    watching = watch()
    inner = tmp_path.resolve() / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "code.py").write_text("1")
    watching.until(inner / "code.py")
    (inner / "later.py").write_text("1")
    watching.until(inner / "later.py")
    shutil.rmtree(inner.parent)
    watching.until(inner / "code.py")
    inner.mkdir(parents=True)
    (inner / "code.py").write_text("2")
    watching.until(inner / "code.py")


def test_what_is_saved_after_the_start_and_before_the_folders_are_watched_is_told(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("1")
    file, told = tmp_path / "app.py", queue.Queue[Changed]()
    watcher = Watcher(lambda: [tmp_path], told.put, print)
    began = time.time_ns()
    while not file.exists() or file.stat().st_ctime_ns <= began:  # the clock of files ticks a few times in 10 ms
        file.write_text("2")
    watcher.start()
    assert told.get(timeout=PATIENCE).files == {file}
    watcher.stop()


def test_tools_folders_and_editors_own_files_are_not_told(watch: Callable[[], Watching], tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    for tool in (".git", ".mesh", "__pycache__", "node_modules"):
        (folder / tool).mkdir()
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").write_text("")
    watching = watch()
    for tool in (".git", ".mesh", "__pycache__", "node_modules", "env"):
        (folder / tool / "code.py").write_text("1")
    for name in (".code.py.swp", "code.py~", "4913", ".#code.py", "code.pyc"):
        (folder / name).write_text("1")
    (folder / "code.py").write_text("1")
    assert watching.untold(folder / "code.py") == set()


def test_a_tools_new_folder_does_not_begin_the_watch_anew(
    watch: Callable[[], Watching], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python makes its folder soon after the start."""
    opened: list[list[str]] = []

    class Noting(FolderWatch):
        def __init__(self, folders: list[str], polling: bool, poll_milliseconds: int) -> None:
            opened.append(folders)
            super().__init__(folders, polling, poll_milliseconds)

    monkeypatch.setattr("mesh.runtime.reload.watcher.FolderWatch", Noting)
    watching = watch()
    folder = tmp_path.resolve()
    (folder / "__pycache__").mkdir()
    (folder / "code.py").write_text("1")
    watching.until(folder / "code.py")
    assert len(opened) == 1


def test_a_folder_that_is_declared_later_is_watched_from_then_on(
    watch: Callable[[], Watching], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    watching = watch()
    other = tmp_path_factory.mktemp("other").resolve()
    (other / "code.py").write_text("1")
    watching.folders.append(other)
    watching.until(other / "code.py")


@pytest.mark.parametrize("error", [OSError("inotify limit reached"), RuntimeError("Too many open files")])
def test_where_notifications_are_used_up_files_are_looked_at_in_turn_and_that_is_said_once(
    watch: Callable[[], Watching], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real: Any = watchfiles._rust_notify.RustNotify

    def exhausted(paths: list[str], debug: bool, polling: bool, *rest: object) -> object:
        if not polling:
            raise error
        return real(paths, debug, polling, *rest)

    monkeypatch.setattr(watchfiles._rust_notify, "RustNotify", exhausted)
    watching = watch()
    (tmp_path / "code.py").write_text("1")
    watching.until(tmp_path.resolve() / "code.py")
    said = watching.said.get(timeout=PATIENCE)
    assert said.startswith("files are polled four times a second: ")
    assert str(error) in said
    assert watching.said.empty()


def test_twenty_saves_within_a_second_are_told_as_one_or_two_changes(
    watch: Callable[[], Watching], tmp_path: Path
) -> None:
    watching = watch()
    code, last = tmp_path.resolve() / "code.py", tmp_path.resolve() / "last.py"
    times = []
    for number in range(20):
        code.write_text(str(number))
        times.append(time.monotonic())
        time.sleep(0.04)  # the pace is what is tested
    last.write_text("")
    # On a busy machine the saves of this test are further apart than anybody's.
    rests = sum(after - before > 0.1 for before, after in pairwise(times))
    assert watching.told_until(last) <= 2 + rests


def test_a_file_that_is_only_touched_or_written_with_the_same_content_is_not_told(
    watch: Callable[[], Watching], tmp_path: Path
) -> None:
    folder = tmp_path.resolve()
    code, end = folder / "code.py", folder / "end.py"
    watching = watch()
    code.write_text("1")
    watching.until(code)
    code.touch()
    code.write_text("1")
    end.write_text("1")
    assert watching.untold(end) == set()
    code.write_text("2")
    watching.until(code)
    code.unlink()
    watching.until(code)
    code.write_text("2")
    watching.until(code)


def test_links_are_followed_once_and_a_dangling_one_is_nothing(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    (folder / "a").mkdir()
    (folder / "a" / "back").symlink_to(folder)
    (folder / "gone").symlink_to(folder / "nowhere")
    assert set(edited([folder])) == {str(folder), str(folder / "a")}


def test_a_file_that_an_editor_has_truncated_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.runtime.reload.watcher.SAVE_SECONDS", PATIENCE)
    code = tmp_path / "code.py"
    code.write_text("")
    asked = []

    class Notify:
        """Sees the editor write at the third look."""

        def changes(self, *words: Any) -> set[tuple[int, str]]:
            asked.append(words)
            if len(asked) < 3:
                return set()
            code.write_text("1")
            return {(MODIFIED, str(code))}

    watcher: Any = Watcher(list, print, print)
    change = {(MODIFIED, str(code))}
    assert watcher._rest_of_save(Notify(), change) == change
    assert len(asked) == 3
    assert watcher._rest_of_save(Notify(), change) == change
    assert len(asked) == 3  # It is written.
