"""`templates/**/*.html`: which files a pattern of `watch` names."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import PurePath

_PARTS = re.compile(r"\*\*/|/\*\*$|\*|\?|\[[^\]]+\]|.", re.DOTALL)
_MEANING = {"**/": "(?:[^/]+/)*", "/**": "/.+", "*": "[^/]*", "?": "[^/]"}


def matches(path: PurePath, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns names a path relative to the same folder.

    `*` and `?` stay within a name, `**` stands for any number of folders; a pattern that names a folder names what is
    in it.
    """
    return any(_compiled(pattern).fullmatch(path.as_posix()) for pattern in patterns)


@functools.lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = _PARTS.findall(pattern.removeprefix("./").rstrip("/"))
    if parts == ["*", "*"]:
        return re.compile(".+", re.DOTALL)
    meant = (
        _MEANING.get(part) or (part if part.startswith("[") and len(part) > 1 else re.escape(part)) for part in parts
    )
    return re.compile(f"{''.join(meant)}(?:/.+)?", re.DOTALL)
