"""Hands the development server of a program's Django to mesh; Django is executed for each generation of a service."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.service import current_service


def patch_server(basehttp: ModuleType) -> None:
    """Replace what `runserver` serves with."""

    def run(
        addr: str,
        port: int,
        wsgi_handler: Any,
        ipv6: bool = False,
        threading: bool = False,
        on_bind: Callable[[int], None] | None = None,
        server_cls: Any = None,
    ) -> None:
        current_service().main.run_django(port, wsgi_handler, threading, on_bind)

    basehttp.__dict__["run"] = run


def patch_reloader(autoreload: ModuleType) -> None:
    """Leave reloading to mesh: run what the reloader would run in a process of its own."""

    def run_with_reloader(main_func: Callable[..., None], *args: Any, **options: Any) -> None:
        main_func(*args, **options)

    autoreload.__dict__["run_with_reloader"] = run_with_reloader


#: By the name of a module, what patches it once it has been executed for a program.
DJANGO = {"django.core.servers.basehttp": patch_server, "django.utils.autoreload": patch_reloader}
