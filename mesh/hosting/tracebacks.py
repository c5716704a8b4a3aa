"""Tracebacks for their readers: from where the service's own code begins."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from mesh.hosting.load_errors import is_machinery

_MESH = Path(__file__).resolve().parents[1]
_STORE = _MESH / "store"
_LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib"))


def own_traceback(error: BaseException) -> str:
    """Return the traceback as text, without the frames of mesh and of libraries above the service's first one.

    What the service's code calls is kept, libraries too. An error without any of the service's code keeps all frames.
    """
    told = traceback.TracebackException.from_exception(error)
    _trim(told, set())
    return "".join(told.format()).rstrip()


def cause_of(error: BaseException) -> str:
    """Return a line: the exception, and the last frame of the service's own code that it came through."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    what = traceback.format_exception_only(error)[-1].strip().replace("\n", " ")
    return f"{what} at {Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}" if own else what


def _trim(told: traceback.TracebackException, seen: set[int]) -> None:
    """Trim the frames, of the causes as well, which may form a cycle."""
    if id(told) in seen:
        return
    seen.add(id(told))
    first = next((index for index, frame in enumerate(told.stack) if is_own(frame.filename)), 0)
    del told.stack[:first]
    for other in (told.__cause__, told.__context__):
        if other is not None:
            _trim(other, seen)


def is_own(filename: str) -> bool:
    """Return whether a frame's file is the service's: not mesh's, a library's, or the import system's."""
    if filename.startswith("<"):
        return False
    path = Path(filename)
    if path.is_relative_to(_STORE):
        return True
    return not any(path.is_relative_to(folder) for folder in (_MESH, *_LIBRARIES))


def caller() -> str:
    """Return `file:line` of the service's innermost frame, else of the first one above mesh's."""
    place = own_caller()
    if place is not None:
        return place
    frame = next((each for each in _frames() if not is_machinery(each.f_code.co_filename)), None)
    return _place(frame) if frame else "an unknown place"


def own_caller() -> str | None:
    """Return `file:line` of the service's innermost frame, or None if the thread runs none."""
    frame = next((each for each in _frames() if is_own(each.f_code.co_filename)), None)
    return _place(frame) if frame else None


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
