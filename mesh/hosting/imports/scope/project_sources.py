"""Finds the shared modules whose source is in the project: libraries that are installed editable."""

from __future__ import annotations

import os
import sysconfig
from importlib.machinery import ModuleSpec
from pathlib import Path

import mesh

_INSTALLED_PARTS = ("site-packages", "dist-packages")


class ProjectSources:
    """The files below a project's folder that are edited there, as opposed to installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = _below(folder)
        places = sysconfig.get_paths()
        self._installed = tuple(_below(places[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib"))

    def has(self, spec: ModuleSpec) -> bool:
        """True if all places of the module lie in the project."""
        places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
        return bool(places) and all(map(self.has_file, places)) and spec.origin != mesh.__file__

    def has_file(self, path: str) -> bool:
        """True if the file lies in the project and is not installed there, in a virtualenv say."""
        real = os.path.realpath(path)
        return (
            real.startswith(self._folder)
            and not real.startswith(self._installed)
            and not any(part in _INSTALLED_PARTS for part in real.split(os.sep))
        )


def _below(folder: str | Path) -> str:
    return os.path.join(os.path.realpath(folder), "")
