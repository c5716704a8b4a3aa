"""os.environ as each service sees it: what one writes, only that one reads.

The mapping behind `os.environ` is replaced, not the object: any reference to `os.environ` sees the service's variables.
Code that reads the C environment (a C library's getenv, `os.system`) sees the process's own.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from mesh.compat import os_environ
from mesh.hosting.patches import Patch
from mesh.service import ServiceContext, current_service_var


class _PerService(MutableMapping[Any, Any]):
    """Encoded names and values: of the current service, else of the process."""

    def __init__(self, shared: MutableMapping[Any, Any]) -> None:
        self.shared = shared
        self.own: dict[int, MutableMapping[Any, Any]] = {}

    def seen(self) -> MutableMapping[Any, Any]:
        service = current_service_var.get()
        return self.shared if service is None else self.own.get(id(service), self.shared)

    def __getitem__(self, key: Any) -> Any:
        return self.seen()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.seen()[key] = value
        self._note()

    def __delitem__(self, key: Any) -> None:
        del self.seen()[key]
        self._note()

    def _note(self) -> None:
        service = current_service_var.get()
        if service is not None:
            service.note_set_up()

    def __contains__(self, key: object) -> bool:
        return key in self.seen()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.seen())

    def __len__(self) -> int:
        return len(self.seen())


class Environ(Patch):
    """Each service's environment variables: the process's at its start, overridden by its own."""

    def install(self) -> None:
        self._data = _PerService(os_environ.mapping())
        self.patches.replace(os.environ, os_environ.MAPPING, self._data)
        if hasattr(os, "environb"):
            self.patches.replace(os.environb, os_environ.MAPPING, self._data)
        putenv, unsetenv, start = os.putenv, os.unsetenv, subprocess.Popen.__init__

        # os.environ calls these two in addition to its mapping; called directly they would affect everyone.
        def own_putenv(name: Any, value: Any, /) -> None:
            if self._data.seen() is self._data.shared:
                putenv(name, value)

        def own_unsetenv(name: Any, /) -> None:
            if self._data.seen() is self._data.shared:
                unsetenv(name)

        @functools.wraps(start)
        def own_popen(popen: Any, *args: Any, **options: Any) -> None:
            # A child without an explicit environment inherits the C environment, which is the process's.
            if self._data.seen() is not self._data.shared and not os_environ.gives_environment(args, options):
                args, options = os_environ.with_environment(args, options, dict(os.environ))
            start(popen, *args, **options)

        self.patches.replace(os, "putenv", own_putenv)
        self.patches.replace(os, "unsetenv", own_unsetenv)
        self.patches.replace(subprocess.Popen, "__init__", own_popen)

    def give(self, service: ServiceContext, variables: Mapping[str, str]) -> None:
        """Start the service with the process's variables and these."""
        encoded = {os.environ.encodekey(k): os.environ.encodevalue(v) for k, v in variables.items()}
        self._data.own[id(service)] = {**self._data.shared, **encoded}

    def remove_service(self, service: ServiceContext) -> None:
        self._data.own.pop(id(service), None)
