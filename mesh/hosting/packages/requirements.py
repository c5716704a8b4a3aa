"""Compares what a service's files require with what is installed where it runs."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable, Iterator

from mesh.hosting.packages.requirement_files import RequirementFiles
from mesh.virtualenv import Virtualenv

#: The distribution that mesh is.
_MESH = "mesh-runner"


def misfits(files: RequirementFiles, virtualenv: Virtualenv | None = None) -> Iterator[str]:
    """Yield what `unmet` does for the requirements of a service's files."""
    return unmet(files.requirements(), virtualenv)


def own_misfits() -> str | None:
    """Return a sentence if what mesh itself requires is not installed beside it; None if it is."""
    try:
        found = list(unmet(importlib.metadata.requires(_MESH) or ()))
    except ImportError as error:  # packaging itself, or mesh's own metadata
        found = [str(error)]
    if not found:
        return None
    return (
        f"this environment does not have what mesh requires: {', '.join(found)}; install mesh beside the project, such "
        f"as by `uv tool install {_MESH}`, or install these"
    )


def unmet(requirements: Iterable[str], virtualenv: Virtualenv | None = None) -> Iterator[str]:
    """Yield `requests<2 (2.34.2 is installed)`, or `flask (not installed)`, for each requirement that is not met.

    A line that is not a plain requirement, or not for this platform, is ignored. virtualenv: where it is to be
    installed; None for where the calling code finds its packages.
    """
    # Imported late: a service without such a file does not need them.
    from packaging.requirements import InvalidRequirement, Requirement

    for text in requirements:
        try:
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate():
                continue
            installed = _version(wanted.name, virtualenv)
        except InvalidRequirement:
            continue
        except importlib.metadata.PackageNotFoundError:
            yield f"{wanted.name}{wanted.specifier} (not installed)"
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            yield f"{wanted.name}{wanted.specifier} ({installed} is installed)"


def _version(name: str, virtualenv: Virtualenv | None) -> str:
    if virtualenv is None:
        return importlib.metadata.version(name)
    for found in importlib.metadata.distributions(name=name, path=list(map(str, virtualenv.packages))):
        return found.version
    raise importlib.metadata.PackageNotFoundError(name)


def are_met(files: RequirementFiles) -> bool:
    """Return whether all that the files require, Python too, is here; False if they say it in a way not compared above.

    Such are URLs, editable installs, and the tables of Poetry.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    listed = list(files.requirements())
    try:
        is_plain = bool(listed) and not any(Requirement(each).url for each in listed)
    except InvalidRequirement:
        return False
    is_for_this_python = is_plain and files.allows(sys.version_info[:3])
    return is_for_this_python and not files.has_options() and not any(misfits(files))
