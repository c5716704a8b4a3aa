"""Modules of a service that a shared library looks up by name: Flask's `from_object("config.Dev")`, Django's settings.

A library's own imports are everybody's. What it is told to import by name, and nobody else has, is the service's:
through `importlib.import_module`, werkzeug's `import_string` and the classes named in a logging configuration.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import sys
from types import ModuleType
from typing import Any

from mesh.hosting.arrivals import Arrivals
from mesh.hosting.patches import Patch
from mesh.hosting.world import World
from mesh.service import ServiceContext, current_service_var


class Lookups(Patch):
    """Asks the world of the service in hand for what is found nowhere else."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__()
        self._arrivals = arrivals
        self._worlds: dict[int, World] = {}

    def install(self) -> None:
        import_module = importlib.import_module

        def own_import_module(name: str, package: str | None = None) -> ModuleType:
            try:
                return import_module(name, package)
            except ModuleNotFoundError:
                private = self._own_name(name)
                if private is None:
                    raise
            return import_module(private)

        self.patches.replace(importlib, "import_module", own_import_module)
        self._arrivals.when("werkzeug.utils", self._serve_werkzeug)
        self._arrivals.when("flask.config", self._serve_werkzeug)
        self._arrivals.when("logging.config", self._serve_logging)

    def open(self, service: ServiceContext, world: World) -> None:
        self._worlds[id(service)] = world

    def remove_service(self, service: ServiceContext) -> None:
        self._worlds.pop(id(service), None)

    def _serve_werkzeug(self, module: Any) -> None:
        """Wherever `import_string` is held; flask took it from an isolation that was open before, perhaps."""
        import_string = inspect.unwrap(module.import_string)

        # Silently at first: the sentence of its error is made with this very function.
        @functools.wraps(import_string)
        def own_import_string(import_name: str, silent: bool = False) -> Any:
            found = import_string(import_name, silent=True)
            private = self._own_name(import_name.replace(":", ".")) if found is None else None
            if private is None:
                return import_string(import_name, silent) if found is None else found
            try:
                return pkgutil.resolve_name(private)
            except (ImportError, AttributeError):
                if silent:
                    return None
                raise

        self.patches.replace(module, "import_string", own_import_string)

    def _serve_logging(self, config: Any) -> None:
        def importer(name: str) -> ModuleType:
            try:
                return __import__(name)
            except ModuleNotFoundError:
                private = self._own_name(name)
                if private is None:
                    raise
            importlib.import_module(private)
            return sys.modules[".".join(private.split(".")[:2])]

        self.patches.replace(config.BaseConfigurator, "importer", staticmethod(importer))

    def _own_name(self, name: str) -> str | None:
        """The private name of a module of the service in hand; None where it has none of that name."""
        service = current_service_var.get()
        world = None if service is None else self._worlds.get(id(service))
        if world is None or name in sys.modules or not world.owns(name):
            return None
        return f"{world.prefix}.{name}"
