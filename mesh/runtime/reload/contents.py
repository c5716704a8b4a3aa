"""Remembers the content of files: one written with the same content, or only touched, has not changed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable

#: Larger files, and those beyond this number, count as changed whenever they are written.
MAX_BYTES, MAX_FILES = 1024 * 1024, 5000
#: Nanoseconds by which the time of a file may be behind the clock.
_COARSE = 50_000_000


class Contents:
    """Created before any file is loaded: a file changed since is not remembered, since it may have been loaded before.

    made: the time of creation, in nanoseconds since the epoch.
    """

    def __init__(self, made: int | None = None) -> None:
        self._made = time.time_ns() if made is None else made
        self._digests: dict[str, bytes] = {}

    def remember(self, paths: Iterable[str]) -> set[str]:
        """Remember files that have not changed so far; return those that have."""
        changed = set()
        for path in paths:
            try:
                at = os.stat(path).st_ctime_ns
            except OSError:
                continue
            if at > self._made:
                changed.add(path)
            is_old = at < self._made - _COARSE and path not in self._digests
            if is_old and len(self._digests) < MAX_FILES and (digest := _digest(path)):
                self._digests[path] = digest
        return changed

    def is_changed(self, path: str) -> bool:
        """Return False if the file holds what it held when last checked or remembered."""
        digest = _digest(path)
        known = self._digests.pop(path, None)
        if digest is not None and len(self._digests) < MAX_FILES:
            self._digests[path] = digest
        return digest is None or digest != known


def _digest(path: str) -> bytes | None:
    """Return the digest; None for what does not exist, is not a file, or is large."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError:
        return None
    return hashlib.blake2b(content, digest_size=16).digest() if len(content) <= MAX_BYTES else None
