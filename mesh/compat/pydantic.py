"""Pydantic 1, and what Pydantic 2 keeps of it, remember the names of all validators, to refuse one that comes again."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

#: Where they are remembered: modules, the name of a set, and that of the function that looks into it.
MODULES = ("pydantic.class_validators", "pydantic.v1.class_validators")
NAMES, PREPARE = "_FUNCS", "_prepare_validator"


def forget_validators(module: str, loaded: Callable[[str], ModuleType | None]) -> None:
    """Forget those of a module that is about to be executed, as after an edit: it would find its own names taken.

    Those that it defines twice are refused as ever. loaded: returns the module of a name that the service uses, if any.
    """
    for name in MODULES:
        forget = getattr(getattr(loaded(name), PREPARE, None), "forget", None)
        if forget is not None:
            forget(module)
