"""Tells whether a Starlette or FastAPI application does anything at its shutdown."""

from __future__ import annotations

from typing import Any


def has_shutdown(app: Any) -> bool:
    """Return False for an application whose router has the default lifespan and no shutdown handlers."""
    router = getattr(app, "router", None)
    kind = type(getattr(router, "lifespan_context", None)).__name__
    return kind != "_DefaultLifespan" or bool(getattr(router, "on_shutdown", ()))
