"""Imports a Topology from a Python module: `module:attribute`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mesh.errors import MeshError, UsageError
from mesh.references import Reference
from mesh.suggestions import did_you_mean
from mesh.topology.model import Topology


def import_topology(target: str, folder: Path, again: bool = False) -> tuple[Topology, Path | None]:
    """Return the Topology that `module:attribute` is or returns, and the module's file.

    folder: searched for the module first; it leads sys.path during the import. again: execute the module again even if
        it was imported before; the modules it imports are not executed again.

    Raises UsageError if there is no such module or attribute, or it is not a Topology; MeshError, with the module's own
    error as its cause, if that code fails.
    """
    reference = Reference.parse(target)
    with _leading(folder):
        try:
            module = (
                _module_of_file(folder / reference.module) if reference.is_file else _module(reference.module, folder)
            )
            if again:
                module = _executed_anew(module)
            found = _attribute(module, reference.attribute, target)
            made = found() if callable(found) else found
        except MeshError:
            raise
        except (Exception, SystemExit) as error:
            raise MeshError(f"{target}: {_told(error)}") from error
    if not isinstance(made, Topology):
        raise UsageError(
            f"{target} is of type {type(made).__name__}; expected a mesh.Topology, or a function returning one"
        )
    file = getattr(module, "__file__", None)
    return made, Path(file) if file else None


@contextmanager
def _leading(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _module(name: str, folder: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"no module named {error.name!r}; looked in {folder} and in sys.path") from None
        raise


def _module_of_file(file: Path) -> Any:
    """Return the module that this file already is, as a module of the file's name."""
    if not file.is_file():
        raise UsageError(f"no such file: {file}")
    with _leading(file.parent):
        return _module(file.stem, file.parent)


def _executed_anew(module: Any) -> Any:
    """Replace the module by what its file holds now, and return it; if that fails, nothing has changed."""
    fresh = importlib.util.module_from_spec(module.__spec__)
    # From source: the bytecode beside it may predate the last edit.
    code = compile(Path(module.__file__).read_bytes(), module.__file__, "exec", dont_inherit=True)
    sys.modules[module.__name__] = fresh
    try:
        exec(code, fresh.__dict__)
    except BaseException:
        sys.modules[module.__name__] = module
        raise
    return fresh


def _attribute(module: Any, path: str, target: str) -> Any:
    found = module
    for name in path.split("."):
        if not hasattr(found, name):
            hint = did_you_mean(name, [word for word in vars(module) if not word.startswith("_")])
            raise UsageError(f"{target}: {module.__name__} has no {name!r}{hint}")
        found = getattr(found, name)
    return found


def _told(error: BaseException) -> str:
    """Return the error as one sentence, with the line of the user's code that raised it."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    frame = [frame for frame in frames if not frame.filename.startswith("<frozen ")][-1]
    return f"{frame.filename}:{frame.lineno}: {type(error).__name__}: {error}"
