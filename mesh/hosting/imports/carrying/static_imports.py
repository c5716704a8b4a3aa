"""Reads from a module's bytecode which modules it imports: at its top, and later in its functions."""

from __future__ import annotations

import opcode
from collections.abc import Iterator
from types import CodeType
from typing import Any

from msgspec import Struct

_IMPORT_NAME = opcode.opmap["IMPORT_NAME"]
_LOAD_CONST = opcode.opmap["LOAD_CONST"]
_EXTENDED_ARG = opcode.opmap["EXTENDED_ARG"]
#: Python 3.14 loads a small whole number, such as the level of an import, without a constant.
_LOAD_SMALL_INT = opcode.opmap.get("LOAD_SMALL_INT", -1)

#: Names by which code imports what its bytecode does not name.
_DYNAMIC = frozenset({"import_module", "__import__", "import_string", "exec", "runpy", "entry_points"})


class StaticImports(Struct, frozen=True):
    """names: absolute; of `from a import b` both `a` and `a.b`, whichever it is. is_dynamic: there may be more.

    asks_subclasses: the code asks classes for their subclasses.
    """

    names: frozenset[str]
    is_dynamic: bool
    asks_subclasses: bool = False


def static_imports(code: CodeType, module: str, is_package: bool) -> StaticImports:
    """Return the imports of a module with that name and code."""
    package = module if is_package else module.rpartition(".")[0]
    names: set[str] = set()
    is_dynamic = asks_subclasses = False
    for each in _all_code(code):
        is_dynamic = is_dynamic or not _DYNAMIC.isdisjoint(each.co_names) or {"sys", "modules"} <= {*each.co_names}
        asks_subclasses = asks_subclasses or "__subclasses__" in each.co_names
        for name, level, wanted in _statements(each):
            names.update(_modules(_absolute(name, level, package), wanted))
    return StaticImports(frozenset(names), is_dynamic, asks_subclasses)


def _all_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_code(constant)


def _statements(code: CodeType) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield name, level and what is wanted from it, of each import statement: two loads, and the import itself."""
    raw = code.co_code
    if _IMPORT_NAME not in raw:
        return
    extended = 0
    loaded: list[Any] = [0, ()]
    for index in range(0, len(raw), 2):
        operation, argument = raw[index], raw[index + 1] | extended
        if operation == _EXTENDED_ARG:
            extended = argument << 8
            continue
        extended = 0
        if operation == _LOAD_CONST:
            loaded = [loaded[1], code.co_consts[argument]]
        elif operation == _LOAD_SMALL_INT:
            loaded = [loaded[1], argument]
        elif operation == _IMPORT_NAME:
            yield code.co_names[argument], loaded[0], loaded[1] or ()


def _absolute(name: str, level: int, package: str) -> str:
    for _ in range(level - 1):
        package = package.rpartition(".")[0]
    return name if not level else f"{package}.{name}".rstrip(".")


def _modules(base: str, wanted: tuple[str, ...]) -> Iterator[str]:
    yield base
    if wanted:
        yield from (f"{base}.{each}" for each in wanted)
    else:
        parts = base.split(".")
        yield from (".".join(parts[:length]) for length in range(1, len(parts)))
