"""When code was last worked on, as its git repository tells it."""

from __future__ import annotations

import subprocess
from datetime import date, timedelta
from pathlib import Path

#: The age from which on code is expected to need the packages of its time.
OLD = timedelta(days=365)


def time_of_old_code(folder: Path, today: date) -> date | None:
    """Return the day of the last commit that changed something in the folder, if that is a year ago or more.

    None for younger code, for code with edits that are not committed, and where git does not know it.
    """
    day = _git(folder, "log", "-1", "--format=%cs", "--", ".")
    if not day or (found := date.fromisoformat(day)) > today - OLD:
        return None
    return None if _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".") else found


def _git(folder: Path, *words: str) -> str:
    """Return what git says; nothing if there is no git, or no repository."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
