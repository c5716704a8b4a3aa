"""Every import that executes a module, observed from its begin to its end."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

_bootstrap: Any = importlib._bootstrap  # where `import` goes for a module that is not loaded; no public word


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
