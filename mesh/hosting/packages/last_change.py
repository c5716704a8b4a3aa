"""When code was last worked on, as its git repository tells it."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path


def last_change(folder: Path) -> date | None:
    """Return the day of the last commit that changed something in the folder.

    None with edits that are not committed, and where git does not know it.
    """
    day = _git(folder, "log", "-1", "--format=%cs", "--", ".")
    is_edited = bool(day and _git(folder, "status", "--porcelain", "--untracked-files=no", "--", "."))
    return date.fromisoformat(day) if day and not is_edited else None


def _git(folder: Path, *words: str) -> str:
    """Return what git says; nothing if there is no git, or no repository."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
