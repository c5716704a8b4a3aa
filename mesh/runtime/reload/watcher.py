"""Watches the project's files and reports changes to the supervisor."""

from __future__ import annotations

import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from mesh.compat.watchfiles import MODIFIED, FolderWatch
from mesh.runtime.messages import Changed
from mesh.runtime.reload.contents import Contents
from mesh.runtime.reload.source_folders import TOOLS, Identity, edited, files_in

#: Milliseconds: the longest time to collect changes, and the pause after the last one before they are reported. The
#: thread wakes once in such a pause: an idle mesh takes 1.7 % of a processor, and with 5 ms it would take 1.1 %.
DEBOUNCE, STEP = 50, 2
#: Seconds in which an editor writes what it has truncated, and saves the other files of one command.
SAVE_SECONDS = 0.03
#: Milliseconds: changes that follow others within the first of these are reported together, after a pause of the
#: second, so that twenty saves in a second make two loads; and seconds for which they are collected at most.
BURST_WITHIN, BURST_REST, BURST_SECONDS = 250, 120, 2.0
#: Milliseconds: when to check for newly declared folders; and from one scan of all files to the next, when polling.
LOOK, POLL = 500, 250
#: Files that editors write beside the edited one, and Python beside the imported one.
_ASIDE = re.compile(r".*\.py[cod]|.*\.sw.|.*~|\.#.*|4913|.*___jb_(?:tmp|old)___|\.DS_Store|flycheck_.*")

_OFF = ("", "0", "false", "disable", "disabled")


class Watcher:
    """A separate thread; folders of tools (`.git`, `.venv`, `__pycache__`, `node_modules`, ...) are left out.

    folders: called repeatedly, to include new ones. say: takes one sentence, when the system's
    notifications are exhausted and files are polled instead.
    """

    def __init__(
        self, folders: Callable[[], Iterable[Path]], post: Callable[[Changed], None], say: Callable[[str], None]
    ) -> None:
        self._folders = folders
        self._post = post
        self._say = say
        self._stop = threading.Event()
        self._watched: dict[str, Identity] = {}
        self._contents = Contents()
        #: Folders whose files are to be remembered as they are, at the next pause.
        self._unknown: set[str] = set()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=2)

    def _watch(self) -> None:
        try:
            if why := must_poll():
                self._poll(why)
            else:
                self._follow(polling=False)
        except (OSError, RuntimeError) as error:  # RuntimeError: watchfiles' error for anything unexpected
            self._poll(f"the system's notifications fail ({error})")

    def _poll(self, why: str) -> None:
        self._say(f"files are polled four times a second: {why}")
        try:
            self._follow(polling=True)
        except (OSError, RuntimeError) as error:
            self._say(f"changed files are no longer noticed: {error}")

    def _follow(self, polling: bool) -> None:
        notify = self._open(polling)
        #: How many reports followed each other, and when the last one was made.
        told, told_at = 0, 0.0
        try:
            while not self._stop.is_set():
                roots = _real(self._folders())
                changes = notify.changes(DEBOUNCE, STEP, BURST_WITHIN if told else LOOK, self._stop)
                is_quiet, changes = not changes, set(filter(_is_edit, changes))
                is_same_save = told == 1 and time.monotonic() - told_at < SAVE_SECONDS
                if changes and told and not is_same_save:
                    changes |= self._rest_of_burst(notify)
                changes |= self._rest_of_save(notify, changes)
                told, told_at = told + 1 if changes else 0, time.monotonic()
                if is_quiet and self._unknown:
                    # What was saved after the start and before these folders were watched is reported now.
                    self._tell(self._contents.remember(files_in(self._unknown)))
                    self._unknown = set()
                self._tell({path for _, path in changes})
                moved = {path for kind, path in changes if kind != MODIFIED and self._is_folder(path)}
                if moved or roots - self._watched.keys():
                    # The new one first: what is saved between the two is reported by one of them.
                    before, old = self._watched, notify
                    notify = self._open(polling)
                    missed = {path for _, path in old.changes(1, 1, 1)}
                    old.close()
                    self._tell(missed | self._arrived(before, moved))
        finally:
            notify.close()

    def _rest_of_save(self, notify: FolderWatch, changes: Iterable[tuple[int, str]]) -> set[tuple[int, str]]:
        """Wait for the content of files that are empty, as an editor leaves them for a moment."""
        found = set(changes)
        until = time.monotonic() + SAVE_SECONDS
        while time.monotonic() < until and any(map(_is_empty, found)):
            found |= set(filter(_is_edit, notify.changes(DEBOUNCE, STEP, STEP, self._stop)))
        return found

    def _rest_of_burst(self, notify: FolderWatch) -> set[tuple[int, str]]:
        # Not by a longer step: watchfiles does not report another change within a step to the same file.
        found: set[tuple[int, str]] = set()
        until = time.monotonic() + BURST_SECONDS
        while time.monotonic() < until and (more := notify.changes(DEBOUNCE, STEP, BURST_REST, self._stop)):
            found |= set(filter(_is_edit, more))
        return found

    def _is_folder(self, path: str) -> bool:
        """Return whether a created or deleted path is a folder."""
        return path in self._watched or os.path.isdir(path)

    def _open(self, polling: bool) -> FolderWatch:
        """Watch each folder separately: a recursive watch would include those of tools, sometimes thousands of them."""
        while True:
            watched = edited(self._folders())
            notify = FolderWatch(list(watched), polling, POLL)
            if edited(self._folders()) == watched:
                self._unknown |= watched.keys() - self._watched.keys()
                self._watched = watched
                return notify
            notify.close()

    def _arrived(self, before: dict[str, Identity], moved: set[str]) -> set[str]:
        """Return the files of newly watched folders."""
        new = [
            folder
            for folder, identity in self._watched.items()
            if before.get(folder) != identity or moved & {folder, *map(str, Path(folder).parents)}
        ]
        return files_in(new)

    def _tell(self, changed: set[str]) -> None:
        files = frozenset(Path(path) for path in changed if not _is_aside(path) and self._contents.is_changed(path))
        if files:
            self._post(Changed(files))


def _is_empty(change: tuple[int, str]) -> bool:
    try:
        return os.path.getsize(change[1]) == 0
    except OSError:
        return False


def _is_edit(change: tuple[int, str]) -> bool:
    """Return False for what Python, editors and other tools write beside the edited files."""
    return not _is_aside(change[1]) and os.path.basename(change[1]) not in TOOLS


def _is_aside(path: str) -> bool:
    return _ASIDE.fullmatch(os.path.basename(path)) is not None


def must_poll() -> str:
    """Return why this system's notifications cannot be relied on; empty if they can."""
    if os.environ.get("WATCHFILES_FORCE_POLLING", "").lower() not in _OFF:
        return "WATCHFILES_FORCE_POLLING is set"
    if "microsoft-standard" in platform.uname().release:
        return "this is WSL, which does not notice what Windows writes"
    return ""


def _real(folders: Iterable[Path]) -> set[str]:
    return {os.path.realpath(folder) for folder in folders if folder.is_dir()}
