"""Gives each service its own `sys.path`, builtins and `atexit`, which the interpreter holds once.

A module's class may be replaced, as Python documents it for `__class__` of modules; its functions are wrapped.
"""

from __future__ import annotations

import atexit
import builtins
import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.hosting.imports.module_keys import current_scope, current_site
from mesh.hosting.patches import Patches
from mesh.service import current_service_var

#: What a service may set on `sys` unseen by other services.
_PER_SERVICE = ("path", "argv", "stdin", "stdout", "stderr", "excepthook")
#: What a virtual environment sets there.
_PER_SITE = ("path", "executable", "prefix", "exec_prefix")


def install() -> Patches:
    """Begin to tell the services apart; `undo()` of what is returned ends it."""
    patches = Patches()
    for module, kind in ((sys, _Sys), (builtins, _Builtins)):
        if type(module) is ModuleType:
            patches.replace_class(module, kind)
    patches.replace(importlib, "reload", _reload_of(importlib.reload))
    patches.replace(atexit, "register", _register_of(atexit.register))
    patches.replace(atexit, "unregister", _unregister_of(atexit.unregister))
    return patches


def _of_service(name: str) -> property:
    def read(module: ModuleType) -> Any:
        scope = current_scope()
        own = scope.sys_attributes if scope is not None else {}
        if name not in own and name in _PER_SITE and (site := current_site()) is not None:
            own = site.sys_attributes
        return own[name] if name in own else module.__dict__[name]

    def write(module: ModuleType, value: Any) -> None:
        scope = current_scope()
        if scope is not None:
            scope.set_sys_attribute(name, value)
        elif name in _PER_SITE and (site := current_site()) is not None:
            # Its packages do so, too: nltk sets a shorter path and then the former one.
            site.sys_attributes[name] = value
        else:
            module.__dict__[name] = value

    return property(read, write)


class _AnyModule(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, ModuleType)


class _Sys(ModuleType, metaclass=_AnyModule):
    """The type of `sys` meanwhile: the import system makes modules with it, and `isinstance` asks for it."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        return ModuleType(*args, **options)

    locals().update({name: _of_service(name) for name in {*_PER_SERVICE, *_PER_SITE}})


class _Builtins(ModuleType):
    """`builtins.name = value` in a service reaches that service's modules alone."""

    def __getattribute__(self, name: str) -> Any:
        scope = current_scope()
        if scope is not None and name in scope.builtins:
            return scope.builtins[name]
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        scope = current_scope()
        if scope is None:
            super().__setattr__(name, value)
        else:
            scope.has_own_builtins = True
            scope.builtins[name] = value

    def __delattr__(self, name: str) -> None:
        scope = current_scope()
        if scope is None:
            super().__delattr__(name)
        else:
            scope.has_own_builtins = True
            scope.builtins.pop(name, None)


def _reload_of(reload: Callable[[ModuleType], ModuleType]) -> Callable[[ModuleType], ModuleType]:
    @functools.wraps(reload)
    def reload_own(module: ModuleType) -> ModuleType:
        """A shared module is not executed a second time: other services hold the first."""
        scope = current_scope()
        if scope is None:
            return reload(module)
        if not scope.owns(module.__name__):
            return module
        try:
            return reload(module)
        finally:
            scope.end_reload(module.__name__)

    return reload_own


def _register_of(register: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(register)
    def register_own(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Run what the service's own code registers when the service stops, the last registered first."""
        service = current_service_var.get()
        if service is None or not _is_called_by(service.import_scope):
            register(function, *args, **kwargs)
        else:
            service.on_stop(functools.partial(function, *args, **kwargs))
        return function

    return register_own


def _unregister_of(unregister: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(unregister)
    def unregister_own(function: Callable[..., Any], /) -> None:
        service = current_service_var.get()
        if service is None or not _is_called_by(service.import_scope):
            unregister(function)
        else:
            kept = [hook for hook in service.stop_hooks if getattr(hook.function, "func", None) != function]
            service.stop_hooks[:] = kept

    return unregister_own


def _is_called_by(scope: Any) -> bool:
    """True if the code that called our caller is the service's own, as opposed to a library's."""
    return scope is not None and sys._getframe(2).f_builtins is scope.builtins
