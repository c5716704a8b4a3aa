"""Determines what an application object is, and makes an ASGI application of it."""

from __future__ import annotations

import inspect
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from mesh.errors import UsageError
from mesh.hosting.wsgi import asgi_of

_WANTED = "an ASGI or WSGI application, or a function without arguments that returns one"


def asgi_app(found: Any, whose: str) -> ASGIApp:
    """Return the ASGI 3 application that `found` is, wraps, or returns.

    whose: starts the error's sentence: `"user-service: app:app"`. Raises UsageError for anything else; exceptions of a
    factory are passed on.
    """
    app = _adapted(found)
    if app is None and callable(found) and _arity(found) == 0:
        made = found()
        app = None if made is found else _adapted(made)
        found = made
    if app is None:
        raise UsageError(f"{whose} is {_described(found)}, not {_WANTED}")
    return app


def _adapted(found: Any) -> ASGIApp | None:
    """Return the application, or None if it is not one; the number of arguments tells the interfaces apart."""
    if not callable(found):
        return None
    arity = _arity(found)
    if inspect.isclass(found):
        return _asgi2(found) if arity == 1 and _is_async(getattr(found, "__call__", None)) else None  # noqa: B004
    if arity == 3 or (arity is None and _is_async(found)):
        return cast(ASGIApp, found)
    if arity == 2 or (arity is None and not _is_async(found)):
        return asgi_of(found)
    return _asgi2(found) if arity == 1 and not _is_async(found) and _takes(found, "scope") else None


def _arity(found: Any) -> int | None:
    """Return how many positional arguments a call must give, or None if that is open."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return sum(p.default is p.empty for p in positional)


def _is_async(found: Any) -> bool:
    return inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(found, "__call__", None))  # noqa: B004


def _takes(found: Any, name: str) -> bool:
    return name in inspect.signature(found).parameters


def _asgi2(found: Any) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await found(scope)(receive, send)

    return app


def _described(found: Any) -> str:
    if inspect.isclass(found):
        return f"the class {found.__name__}"
    if inspect.isroutine(found):
        return f"the function {found.__name__}{inspect.signature(found)}"
    return f"a {type(found).__module__}.{type(found).__qualname__}"
