"""When code was last worked on, as its git repository tells it."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

#: Without locks, which the author's own git may want, and without what a configuration adds to the answer.
_GIT = ("git", "--no-optional-locks", "-c", "log.showSignature=false")
#: Seconds for an answer.
_WITHIN = 10


def last_commit(folder: Path) -> date | None:
    """Return the day, in UTC, of the last commit that changed something in the folder; None if git does not know it."""
    seconds = _git(folder, "log", "-1", "--format=%ct", "--", ".")
    return datetime.fromtimestamp(int(seconds), UTC).date() if seconds.isdecimal() else None


def is_edited(folder: Path) -> bool:
    """Return whether a file that git knows there has changes that are not committed."""
    return bool(_git(folder, "status", "--porcelain", "--untracked-files=no", "--", "."))


def age(day: date) -> timedelta:
    return datetime.now(UTC).date() - day


def _git(folder: Path, *words: str) -> str:
    """Return what git says; nothing if there is no git, or no repository."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    with suppress(OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        done = subprocess.run(
            [*_GIT, *words],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_WITHIN,
            check=False,
        )
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""
