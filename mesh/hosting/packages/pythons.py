"""The Pythons of this machine, and the one that a project asks for."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from mesh.virtualenv import folders_up

#: A minor version, such as `(3, 13)`.
Version = tuple[int, int]
#: A version, and an interpreter of it.
Python = tuple[Version, Path]

#: What a project may be for that mesh itself does not run on, and the newest that there may be.
_KNOWN = [(3, minor) for minor in range(16, 6, -1)]
_IMAGE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(?:\S+/)?python:(\d+)\.(\d+)\b", re.IGNORECASE | re.MULTILINE)
_VERSION = re.compile(r"\s*(?:cpython-|python-)?(\d+)\.(\d+)\b")


def asked_python(root: Path, project: Path) -> tuple[str, Version] | None:
    """Return the Python that the files in the root, or in a folder above it up to the project's, ask for.

    With the name of the file: `.python-version`, a Pipfile, or a Dockerfile whose image is a Python.
    """
    for folder in folders_up(root, project):
        for name, text in _texts(folder):
            if found := (_IMAGE.findall(text) or _VERSION.findall(text))[-1:]:
                return name, (int(found[0][0]), int(found[0][1]))
    return None


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each file that may name a version, with the text that does."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        yield ".python-version", (folder / ".python-version").read_text("utf-8")
    with contextlib.suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        requires = tomllib.loads((folder / "Pipfile").read_text("utf-8")).get("requires", {})
        yield "Pipfile", str(requires.get("python_full_version") or requires.get("python_version") or "")
    with contextlib.suppress(OSError):
        for file in sorted(folder.glob("*Dockerfile*")):
            images = _IMAGE.finditer(file.read_text("utf-8", "replace")) if file.is_file() else ()
            yield file.name, "\n".join(found[0] for found in images)


def python_of(version: Version) -> Path | None:
    """Return an interpreter of that version that can make environments; None if none is found."""
    if version == sys.version_info[:2]:
        return Path(sys.executable)
    name = ".".join(map(str, version))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = shutil.which(f"python{name}")
    candidates = [*([Path(found)] if found else []), *sorted(pyenv.glob(f"{name}.*/bin/python"), reverse=True)]
    return next(filter(makes_environments, candidates), None)


def own_python() -> Python:
    """Return mesh's."""
    return (sys.version_info[0], sys.version_info[1]), Path(sys.executable)


def pythons() -> Iterator[Python]:
    """Yield the interpreters of this machine, that of mesh first, then the newest first."""
    for version in sorted(_KNOWN, key=lambda each: each != sys.version_info[:2]):
        if (found := python_of(version)) is not None:
            yield version, found


def makes_environments(python: Path) -> bool:
    """Return whether it runs, which a placeholder of pyenv may not, and has what makes an environment."""
    words = [str(python), "-c", "import ensurepip, venv"]
    return subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0
