"""Executes a Python program as the `__main__` of one service."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mesh.hosting.imports.scope.import_scope import ImportScope
from mesh.hosting.imports.source_loader import ServiceLoader
from mesh.hosting.load_errors import ServiceImportError
from mesh.hosting.mains.django_server import DJANGO
from mesh.python_command import PythonCommand


def execute(command: PythonCommand, scope: ImportScope) -> None:
    """Run the program to its end, in the calling thread; its exceptions are passed on.

    The service finds `__main__` in `sys.modules`, `sys.argv` and `sys.path` as the interpreter would set them.
    Raises ServiceImportError if there is no such file or module.
    """
    module, name = ModuleType("__main__"), command.target
    scope.on_execution = DJANGO
    if command.kind == "program":
        sys.modules[scope.own_main()] = module
        scope.set_sys_attribute("argv", [name, *command.arguments])
        sys.exit(_program(name, scope)())
    if command.kind == "script":
        path = scope.roots[0] / command.target
        if not path.is_file():
            raise ServiceImportError(f"{scope.service_name}: no such file: {path}", file=path)
        _lead(scope, path.parent)
    else:
        path = _file_of_module(command.target, scope, module)
        name = str(path)
    loader = ServiceLoader("__main__", str(path), scope)
    module.__file__, module.__loader__ = str(path), loader
    sys.modules[scope.own_main()] = module
    scope.set_sys_attribute("argv", [name, *command.arguments])
    loader.exec_module(module)


def _program(name: str, scope: ImportScope) -> Callable[[], Any]:
    """Return the function that an installed program of this name calls."""
    import importlib.metadata

    for entry in importlib.metadata.entry_points(group="console_scripts", name=name):
        # The package first, whole: where another service is just importing it, its inner module would be executed
        # beside it, and either of the two be found half made.
        importlib.import_module(entry.module.partition(".")[0])
        found: Callable[[], Any] = entry.load()
        return found
    where = "mesh's environment" if scope.site is None else scope.site.service_name
    raise ServiceImportError(f"{scope.service_name}: {name!r} is not installed in {where}; install it there")


def _lead(scope: ImportScope, folder: Path) -> None:
    """Search the script's own folder first, as Python does."""
    if folder != scope.roots[0]:
        scope.set_sys_attribute("path", [str(folder), *scope.sys_attributes["path"]])


def _file_of_module(name: str, scope: ImportScope, module: ModuleType) -> Path:
    """Return the file that `python -m name` executes; the module gets its spec and its package."""
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        where = ", ".join(map(str, scope.roots))
        raise ServiceImportError(f"{scope.service_name}: no module to run is named {name!r} in {where}")
    module.__spec__, module.__package__ = spec, spec.name.rpartition(".")[0]
    return Path(spec.origin)
