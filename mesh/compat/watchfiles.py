"""watchfiles' Rust backend, used without `watchfiles.watch`.

Its documentation describes the class under this private name, for direct use. `watch()` does not suit mesh:
- it begins to watch only while it waits for the first change, so that it is unknown from when on changes are seen,
  and what is saved between two watches is lost (shown in tests/compat);
- its waiting time is fixed: a watch that waits 250 ms in a burst of saves and 500 ms otherwise wakes
  up twenty times a second instead of twice.
"""

from __future__ import annotations

from typing import Protocol


class StopEvent(Protocol):
    def is_set(self) -> bool: ...


#: Kind of change beside "added" and "deleted", watchfiles.Change.modified.
MODIFIED = 2


class FolderWatch:
    """Sees every change of a file in these folders, not below them, from its creation until it is closed.

    polling: scan all files every `poll_milliseconds` instead of using the system's notifications. watchfiles does so
    itself if the system has none.
    Raises OSError if the system's notifications are exhausted, RuntimeError for anything watchfiles does not expect.
    Folders that are missing or not readable are left out.
    """

    def __init__(self, folders: list[str], polling: bool, poll_milliseconds: int) -> None:
        from watchfiles._rust_notify import RustNotify

        self._notify = RustNotify(folders, False, polling, poll_milliseconds, False, True)

    def changes(self, debounce: int, step: int, timeout: int, stop: StopEvent | None = None) -> set[tuple[int, str]]:
        """Wait for changes and return their kinds and paths; none at the timeout, and none when `stop` is set.

        All in milliseconds. debounce: how long changes are collected at most. step: how long none must come before.
        """
        found = self._notify.watch(debounce, step, timeout, stop)
        return found if isinstance(found, set) else set()

    def close(self) -> None:
        self._notify.close()
