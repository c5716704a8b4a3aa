"""Tells whether it is mesh's own environment that looks a module up: mesh, or a package that mesh uses.

In a service's context runs the service's code, and that of mesh which serves it. Where both have a package of one
name, such as anyio, each must find its own, in the imports of their functions as well.
"""

from __future__ import annotations

import functools
import importlib
import sys
import sysconfig
from pathlib import Path
from types import FrameType

_MESH = Path(__file__).parents[2]
#: Code that looks a module up for its caller.
_MACHINERY = (
    "<",  # frozen modules, and code from strings
    f"{Path(importlib.__file__).parent}/",
    f"{_MESH}/hosting/imports/",
    f"{_MESH}/hosting/import_hooks.py",
    f"{_MESH}/compat/importlib.py",
)
#: Of mesh, what loads a service's code: it looks with the service's eyes.
_FOR_SERVICES = (f"{_MESH}/hosting/imports/service_code.py", f"{_MESH}/hosting/mains/")
_OWN = (f"{_MESH}/", *(f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib")))


def is_asked_by_mesh() -> bool:
    """Return True if the innermost code on the stack that is not the import system's belongs to mesh's environment."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        answer = _answer(frame.f_code.co_filename)
        if answer is not None:
            return answer
        frame = frame.f_back
    return False


@functools.lru_cache(maxsize=8192)
def _answer(file: str) -> bool | None:
    """Return None for machinery, whose caller decides."""
    if file.startswith(_FOR_SERVICES):
        return False
    return None if file.startswith(_MACHINERY) else file.startswith(_OWN)
