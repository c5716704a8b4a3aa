"""Executes a service's source file with the service's builtins, and never from stale bytecode."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from mesh.compat.pydantic import forget_validators
from mesh.hosting.imports.carrying.static_imports import static_imports
from mesh.hosting.imports.extension_loader import identity
from mesh.hosting.imports.import_system import ImportSystem

if TYPE_CHECKING:
    from mesh.hosting.imports.carrying.carried_modules import ExecutedModule
    from mesh.hosting.imports.scope.import_scope import ImportScope

#: Seconds. Bytecode remembers its source's time in whole seconds: what is younger could change again unseen.
SETTLED = 2.0


class ServiceLoader(SourceFileLoader):
    """A SourceFileLoader whose modules hold their service's builtins."""

    def __init__(self, fullname: str, path: str, scope: ImportScope) -> None:
        super().__init__(fullname, path)
        self.scope = scope
        #: While the module is executed, until its code is known.
        self._record: ExecutedModule | None = None

    def exec_module(self, module: ModuleType) -> None:
        # importlib.reload gives it the key.
        name = module.__name__ = str.__str__("".join(module.__name__))
        self.scope.note_file(name, self.path)
        module.__dict__["__builtins__"] = self.scope.builtins
        self.scope.add_carried_submodules(module)
        forget_validators(name, sys.modules.get if self.scope.site is None else self.scope.site.loaded)
        installed_for = self.scope.calling_module() if self.scope.is_installed(name) else None
        with self.scope.records.executing(module, self.path, installed_for) as self._record:
            super().exec_module(module)
            if (patch := self.scope.on_execution.get(name)) is not None:
                patch(module)

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the module's code; while it is executed, record what it imports."""
        code = self._code(fullname)
        if code is not None and self._record is not None:
            self._record.imports = static_imports(code, fullname, self.is_package(fullname))
            self._record = None
        return code

    def _code(self, fullname: str) -> CodeType | None:
        """Return the module's code; what an earlier generation ran from the same file is not read again."""
        system, same = ImportSystem.present(), identity(self.path)
        codes = system.codes if system is not None else {}
        kept = codes.get(self.path)
        if kept is not None and kept[0] == same:
            return kept[1]
        code = super().get_code(fullname)
        if code is not None and time.time() - max(same[:2]) / 1e9 >= SETTLED:
            codes[self.path] = (same, code)
        return code

    def get_data(self, path: str) -> bytes:
        if path.endswith(".pyc") and os.stat(path).st_mtime_ns <= _changed_at(self.path):
            raise OSError(f"{path} is older than its source")
        return super().get_data(path)

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:  # type: ignore[override]  # typeshed has no _mode
        if time.time() - _changed_at(self.path) / 1e9 >= SETTLED:
            super().set_data(path, data, _mode=_mode)


def service_of(module: Mapping[str, Any]) -> str:
    """Return the name of the service whose module has this dictionary; empty if it belongs to no service."""
    loader = module.get("__loader__")
    return loader.scope.service_name if isinstance(loader, ServiceLoader) else ""


def _changed_at(path: str) -> int:
    """Nanoseconds: when the file was written, or put into the place of another with all that it had been."""
    status = os.stat(path)
    return max(status.st_mtime_ns, status.st_ctime_ns)
