"""The part of the import system that is frozen into the interpreter: imports of modules not yet loaded, and locks.

Loader: that of importlib.abc, which itself imports more, such as importlib.resources: two milliseconds of a start.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib._abc import Loader as Loader
from typing import Any

_bootstrap: Any = importlib._bootstrap  # where `import` goes for a module that is not loaded; not public

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
