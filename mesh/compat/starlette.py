"""Tells whether a Starlette or FastAPI application does anything at its start-up or shutdown."""

from __future__ import annotations

from typing import Any


def has_startup(app: Any) -> bool:
    """Return False for an application that runs none of the service's code before its first request.

    That is one with the default lifespan, no start-up handlers, and no middleware: this is made at the start-up.
    """
    is_plain = type(app).__module__ in ("starlette.applications", "fastapi.applications")
    return not is_plain or bool(getattr(app, "user_middleware", True)) or _has_lifespan(app, "on_startup")


def has_shutdown(app: Any) -> bool:
    """Return False for an application whose router has the default lifespan and no shutdown handlers."""
    return _has_lifespan(app, "on_shutdown")


def _has_lifespan(app: Any, handlers: str) -> bool:
    router = getattr(app, "router", None)
    kind = type(getattr(router, "lifespan_context", None)).__name__
    return kind != "_DefaultLifespan" or bool(getattr(router, handlers, ()))
