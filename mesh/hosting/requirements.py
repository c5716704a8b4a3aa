"""Compares the versions that a service's files require with those installed for all services."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Iterator
from pathlib import Path

from mesh.virtualenv import Virtualenv


def misfits(root: Path) -> Iterator[str]:
    """Yield `requests<2 (2.34.2 is installed)` for each requirement of the service that is not met.

    Reads requirements.txt and the dependencies of pyproject.toml; a line that is not a plain requirement, or not for
    this platform, is ignored, and so is a package that is not installed: its import will fail.
    """
    # Imported late: a service without such a file does not need them.
    from packaging.requirements import InvalidRequirement, Requirement

    for text in _requirements(root):
        try:
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate():
                continue
            installed = importlib.metadata.version(wanted.name)
        except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            yield f"{wanted.name}{wanted.specifier} ({installed} is installed)"


def other_versions(virtualenv: Virtualenv) -> Iterator[str]:
    """Yield `grpcio 1.60.0 (mesh's is 1.85.3)` for each package that is mesh's in every service."""
    for name in ("grpcio", "protobuf"):
        folders = list(map(str, virtualenv.packages))
        own = next((each.version for each in importlib.metadata.distributions(name=name, path=folders)), None)
        if own is not None and own != (used := importlib.metadata.version(name)):
            yield f"{name} {own} (mesh's is {used})"


def declares_requirements(root: Path) -> bool:
    return any((root / name).is_file() for name in ("requirements.txt", "pyproject.toml"))


def _requirements(root: Path) -> Iterator[str]:
    try:
        lines = (root / "requirements.txt").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        text = line.partition(" #")[0].strip()
        if text and not text.startswith(("#", "-")):
            yield text
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text()).get("project", {})
        yield from (each for each in project.get("dependencies", []) if isinstance(each, str))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        return
