"""protobuf's registry of message classes."""

from __future__ import annotations

from typing import Any


def symbol_database(pool: Any) -> Any:
    """Return a registry for a private pool, with the methods of the one that `symbol_database.Default()` returns."""
    from google.protobuf.symbol_database import SymbolDatabase

    return SymbolDatabase(pool)


def forget_classes(pool: Any, symbols: Any) -> None:
    """Remove the pool's message classes from the registry, which may be shared by every pool of the process."""
    classes = symbols._classes
    for descriptor in [each for each in list(classes) if each.file.pool is pool]:
        classes.pop(descriptor, None)
