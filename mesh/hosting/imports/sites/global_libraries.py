"""Native libraries that cannot live in a process in two versions, from whatever files.

Each makes its symbols global to the process: of a second copy, some functions would be those of the first one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mesh.virtualenv import PROCESS_PACKAGES, Virtualenv

#: torch loads libtorch_global_deps with RTLD_GLOBAL (`_load_global_deps` in torch/__init__.py); tensorflow imports its
#: extensions with that flag (tensorflow/python/platform/self_check, pywrap_dlopen_global_flags.py).
GLOBAL_LIBRARIES = ("tensorflow", "torch")


def global_libraries(virtualenv: Virtualenv | None) -> Iterator[tuple[str, Path]]:
    """Yield each such library that is installed in the environment, or without one in mesh's, with its folder."""
    for name in GLOBAL_LIBRARIES:
        for folder in map(Path, PROCESS_PACKAGES) if virtualenv is None else virtualenv.packages:
            if (folder / name / "__init__.py").is_file():
                yield name, (folder / name).resolve()
                break
