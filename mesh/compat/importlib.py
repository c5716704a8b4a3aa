"""The part of the import system that is frozen into the interpreter: imports of modules not yet loaded, and locks.

Loader: that of importlib.abc, which itself imports more, such as importlib.resources: two milliseconds of a start.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib._abc import Loader as Loader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

_bootstrap: Any = importlib._bootstrap  # where `import` goes for a module that is not loaded; not public


def ask_finder(finder: Any, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """Return the spec that a finder of `sys.meta_path` gives, as Python asks it.

    Before Python 3.12 that is by `find_module` if it has no `find_spec`, as six's had none before 1.16.
    """
    if hasattr(finder, "find_spec"):
        spec: ModuleSpec | None = finder.find_spec(name, path, target)
        return spec
    if sys.version_info >= (3, 12) or (loader := finder.find_module(name, path)) is None:
        return None
    return spec_from_loader(name, loader)


#: Waits until no other thread imports the module of that name.
await_lock: Callable[[str], None] = _bootstrap._lock_unlock_module


@contextmanager
def observed_imports(around: Callable[[str], AbstractContextManager[object]]) -> Iterator[None]:
    """Enter `around(name)` for each module that any thread looks for in the block because it is not loaded."""
    before = _bootstrap._find_and_load

    def find_and_load(name: str, import_: Any) -> Any:
        with around(name):
            return before(name, import_)

    _bootstrap._find_and_load = find_and_load
    try:
        yield
    finally:
        _bootstrap._find_and_load = before


def replace_locks(make: Callable[[dict[str, Any]], dict[str, Any]], await_import: Callable[[str], None]) -> None:
    """Replace the dict of locks by module name with what `make` returns for it, and the wait for another's import.

    `await_import(name)` is called where a thread finds a module in `sys.modules` that another is executing.
    """
    _bootstrap._module_locks = make(_bootstrap._module_locks)
    _bootstrap._lock_unlock_module = await_import


def restore_locks() -> None:
    """Undo `replace_locks`; locks that are held stay so."""
    _bootstrap._module_locks = dict(_bootstrap._module_locks)
    _bootstrap._lock_unlock_module = await_lock
