"""A traceback as its reader wants it: from where the service's own code begins."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_MESH = Path(__file__).resolve().parents[1]
_STORE = _MESH / "store"
_LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib"))


def own_traceback(error: BaseException) -> str:
    """The traceback as text, without the frames of mesh and of libraries above the first one of the service's own.

    What the service's code calls is kept, libraries too. An error that no code of the service's was near keeps all.
    """
    told = traceback.TracebackException.from_exception(error)
    _trim(told, set())
    return "".join(told.format()).rstrip()


def _trim(told: traceback.TracebackException, seen: set[int]) -> None:
    """Of the causes as well, which may lead back to where they came from."""
    if id(told) in seen:
        return
    seen.add(id(told))
    first = next((index for index, frame in enumerate(told.stack) if is_own(frame.filename)), 0)
    del told.stack[:first]
    for other in (told.__cause__, told.__context__):
        if other is not None:
            _trim(other, seen)


def is_own(filename: str) -> bool:
    """Whether a frame's file is the service's: not mesh's, no library's, and no file of the import system."""
    if filename.startswith("<"):
        return False
    path = Path(filename)
    if path.is_relative_to(_STORE):
        return True
    return not any(path.is_relative_to(folder) for folder in (_MESH, *_LIBRARIES))
