"""Modules of the standard library as one service sees them: everybody's, but for what would reach its neighbours."""

from __future__ import annotations

import atexit
import builtins
import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.service import current_service_var


class Facade(ModuleType):
    """A stand-in for a module: what it does not have itself it takes from the real one, when asked."""

    def __init__(self, real: ModuleType, **own: object) -> None:
        super().__init__(real.__name__, real.__doc__)
        kept = ("__file__", "__path__", "__package__", "__spec__", "__loader__", "__all__")
        self.__dict__.update({name: getattr(real, name) for name in kept if hasattr(real, name)})
        self.__dict__.update(own, _real=real)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_real"], name)

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["_real"])


def private_builtins(import_: Callable[..., ModuleType]) -> ModuleType:
    """The module `builtins` of one service; its `__dict__` is what the service's modules hold as `__builtins__`."""
    module = ModuleType("builtins", builtins.__doc__)
    module.__dict__.update(builtins.__dict__)
    module.__dict__["__import__"] = import_
    return module


def private_sys(path: list[str]) -> Facade:
    """sys with a `path` of the service's own: what it puts there, its neighbours do not search.

    What else the service assigns (`sys.stdout = ...`) is seen through its own `sys` alone.
    """
    return Facade(sys, path=path)


def private_atexit() -> Facade:
    """atexit whose functions run when the service stops, the last registered first."""

    def register(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        service = current_service_var.get()
        if service is None:
            return atexit.register(function, *args, **kwargs)
        service.on_stop(functools.partial(function, *args, **kwargs))
        return function

    def unregister(function: Callable[..., Any], /) -> None:
        service = current_service_var.get()
        if service is not None:
            kept = [hook for hook in service.stop_hooks if getattr(hook, "func", None) != function]
            service.stop_hooks[:] = kept

    return Facade(atexit, register=register, unregister=unregister)


def private_importlib(owns: Callable[[str], bool], prefix: str) -> Facade:
    """importlib whose `import_module` looks in the service first, and whose `reload` leaves shared modules alone.

    A shared module is not executed a second time: its neighbours hold the first.
    """

    def import_module(name: str, package: str | None = None) -> ModuleType:
        if name.startswith("."):
            return importlib.import_module(name, f"{prefix}.{package}" if package and owns(package) else package)
        return importlib.import_module(f"{prefix}.{name}" if owns(name) else name)

    def reload(module: ModuleType) -> ModuleType:
        return importlib.reload(module) if module.__name__.startswith(f"{prefix}.") else module

    return Facade(importlib, import_module=import_module, reload=reload)
