"""A virtual environment on the disk: where its packages and its Python are."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from msgspec import Struct

#: Usual names of a virtual environment's folder.
VENVS = (".venv", "venv")

#: Of this process, and where its packages are: in the context of a service, Python tells those of its environment.
_PREFIX = sys.prefix
PROCESS_PACKAGES = tuple(sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")}))

_VERSION = re.compile(r"python(\d+)\.(\d+)$")


class Virtualenv(Struct, frozen=True):
    """packages: its site-packages folders. prefix, python: None for a bare site-packages folder.

    version: of its Python, such as `(3, 11)`; None if unknown.
    """

    packages: tuple[Path, ...]
    prefix: Path | None = None
    python: Path | None = None
    version: tuple[int, int] | None = None

    @classmethod
    def at(cls, path: Path) -> Virtualenv:
        """Return the environment at that path: its folder, the python in it, or a site-packages folder.

        Raises ValueError, with what is missing, for any other path.
        """
        if not path.exists():
            raise ValueError("there is no such file or folder")
        if path.is_file():
            # A venv's python is a link to the one it was made with: the link's own place counts.
            found = cls._of_prefix(path.parent.parent)
            if found is None:
                raise ValueError("this Python is not in a virtual environment (a folder with pyvenv.cfg)")
            return found
        found = cls._of_prefix(path)
        if found is not None:
            return found
        if path.name not in ("site-packages", "dist-packages"):
            raise ValueError("expected a virtual environment (with pyvenv.cfg), its python, or a site-packages folder")
        whole = cls._of_prefix(path.parents[2]) if len(path.parents) > 2 else None
        return whole or cls((path,), version=_version_of(path.parent))

    @classmethod
    def _of_prefix(cls, prefix: Path) -> Virtualenv | None:
        try:
            settings = (prefix / "pyvenv.cfg").read_text()
        except OSError:
            return None
        folders = [each for each in sorted(prefix.glob("lib/python*/site-packages")) if each.is_dir()]
        same = [each for each in folders if _version_of(each.parent) == sys.version_info[:2]]
        chosen = (same or folders)[-1:]
        version = _version_of(chosen[0].parent) if chosen else None
        python = prefix / "bin" / "python"
        shared = _base_packages(settings, version) if version is not None else ()
        return cls((*chosen, *shared), prefix, python if python.exists() else None, version)

    def is_mesh_own(self) -> bool:
        """Return True for the environment that this process runs in."""
        return self.prefix is not None and os.path.realpath(self.prefix) == os.path.realpath(_PREFIX)


def nearest_virtualenv(root: Path, project: Path) -> Virtualenv | None:
    """Return the environment in the service's root, or in a folder between it and the project's, which is the last."""
    for folder in folders_up(root, project):
        for name in VENVS:
            if os.path.isfile(f"{folder}/{name}/pyvenv.cfg"):
                return Virtualenv.at(folder / name)
    return None


def folders_up(root: Path, project: Path) -> list[Path]:
    """Return the service's root, the folders above it up to the project's, and in any case that one."""
    if root == project or not root.is_relative_to(project):
        return list(dict.fromkeys((root, project)))
    between = takewhile(lambda each: each != project, root.parents)
    return [root, *between, project]


def _version_of(folder: Path) -> tuple[int, int] | None:
    found = _VERSION.search(folder.name)
    return (int(found[1]), int(found[2])) if found else None


def _base_packages(settings: str, version: tuple[int, int]) -> Iterator[Path]:
    """Yield the packages of the Python that it was made with, if its settings include them."""
    values = dict(re.findall(r"^\s*([\w-]+)\s*=\s*(.*?)\s*$", settings, re.MULTILINE))
    if values.get("include-system-site-packages", "").lower() == "true" and "home" in values:
        library = Path(values["home"]).parent / "lib"
        for name in (f"python{version[0]}.{version[1]}/site-packages", "python3/dist-packages"):
            folder = library / name
            if folder.is_dir():
                yield folder
