"""Finds what a service names and does not have: modules, files and requirements. Nothing is imported or executed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from mesh.errors import UsageError
from mesh.hosting.packages.node_packages import node_packages
from mesh.hosting.packages.requirement_files import required_file, requirements_of
from mesh.hosting.packages.requirements import misfits
from mesh.python_command import PythonCommand
from mesh.references import Reference
from mesh.topology.model import Service
from mesh.virtualenv import Virtualenv


def missing_from(service: Service, project: Path, virtualenv: Virtualenv | None) -> Iterator[str]:
    """Yield a sentence for each module or file that the service names and that is not there, and for its requirements.

    project: the topology's folder. virtualenv: the one whose packages the service uses, if it is not mesh's own.
    """
    if (packages := node_packages(service, project)) is not None and not packages.are_there:
        yield f"{service.name}: the packages of its package.json are not there; `mesh install` installs them"
    if service.is_process:
        return
    root = service.root or project
    below = [root / entry for entry in service.env.get("PYTHONPATH", "").split(os.pathsep) if entry]
    installed = [str(folder) for folder in virtualenv.packages] if virtualenv is not None else sys.path
    folders = [str(root), *map(str, below), *installed, *(sys.path if virtualenv is not None else ())]
    for text, module in _named(service):
        is_there = (root / module).is_file() if module.endswith(".py") else _has_module(module, folders)
        if not is_there:
            what = "file" if module.endswith(".py") else "module"
            yield f"{service.name}: {text} names the {what} {module}, which is not in {_shown(root, project)}"
    for line in service.requirements:
        if (name := required_file(line)) and not (root / name).is_file():
            yield f"{service.name}: requirements names the file {name}, which is not in {_shown(root, project)}"
    files = requirements_of(service, project) if virtualenv is None else None
    if files is not None and (lacks := list(misfits(files))):
        more = f" and {len(lacks) - 3} more" if len(lacks) > 3 else ""
        yield f"{service.name}: requires {', '.join(lacks[:3])}{more}; `mesh install` installs what it requires"


def _named(service: Service) -> Iterator[tuple[str, str]]:
    """Yield what names a module or a file, with that module or file."""
    if service.run is not None:
        command = PythonCommand.parse(service.run)
        if command.kind != "program":
            yield f'run = "{service.run}"', command.target
        return
    named = [service.http.app] if service.http else []
    named += [*service.grpc.servicers, *service.grpc.interceptors] if service.grpc else []
    for each in named:
        if isinstance(each, str):
            try:
                yield f'"{each}"', Reference.parse(each).module
            except UsageError:
                continue  # a mistake of the declaration, told by its check


def _has_module(name: str, folders: Sequence[str]) -> bool:
    path: Sequence[str] = folders
    for part in name.split("."):
        spec = PathFinder.find_spec(part, list(path))
        if spec is None:
            return False
        path = list(spec.submodule_search_locations or ())
    return True


def _shown(root: Path, project: Path) -> str:
    return os.path.relpath(root, project) if root.is_relative_to(project) and root != project else str(root)
