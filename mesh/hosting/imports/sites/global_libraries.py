"""Native libraries that cannot live in a process in two versions, from whatever files.

Each makes its symbols global to the process: of a second copy, some functions would be those of the first one.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from mesh.virtualenv import Virtualenv

#: torch loads libtorch_global_deps with RTLD_GLOBAL (`_load_global_deps` in torch/__init__.py); tensorflow imports its
#: extensions with that flag (tensorflow/python/platform/self_check, pywrap_dlopen_global_flags.py).
GLOBAL_LIBRARIES = ("tensorflow", "torch")


def global_libraries(virtualenv: Virtualenv | None) -> Iterator[tuple[str, Path]]:
    """Yield each such library that is installed in the environment, or without one in mesh's, with its folder."""
    for name in GLOBAL_LIBRARIES:
        for folder in _folders(virtualenv):
            if (folder / name / "__init__.py").is_file():
                yield name, (folder / name).resolve()
                break


def _folders(virtualenv: Virtualenv | None) -> Sequence[Path]:
    if virtualenv is not None:
        return virtualenv.packages
    return [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
