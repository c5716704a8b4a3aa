"""The patterns of `watch`, such as `templates/**/*.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath


def matches(path: PurePath, patterns: Sequence[str]) -> bool:
    """True if one of the patterns names a path, or a folder that it lies in, relative to the same folder.

    As glob has it: `*`, `?` and `[a-z]` stay within a name, `[!a]` is any character but this one, and `**` stands for
    any number of folders. Names that begin with a dot are names like others.
    """
    # Imported where it is needed: it takes 20 ms, and few topologies have such patterns. The standard library can do
    # this from 3.13 on (PurePath.full_match).
    from wcmatch import glob

    flags = glob.GLOBSTAR | glob.DOTGLOB | glob.FORCEUNIX
    wanted = [pattern.removeprefix("./").rstrip("/") for pattern in patterns]
    return any(glob.globmatch(each.as_posix(), wanted, flags=flags) for each in (path, *path.parents[:-1]))
