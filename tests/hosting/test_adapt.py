"""Applications of every kind, found out and not declared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.errors import UsageError
from mesh.hosting.adapt import asgi_app


async def asgi3(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi3"})


class Wrapped:
    """A middleware: not async itself."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return asgi3(scope, receive, send)


class Asgi2:
    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"asgi2"})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"wsgi ", environ["PATH_INFO"].encode()]


class WsgiMiddleware:
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return wsgi(*args, **kwargs)


def factory() -> Any:
    return wsgi


APPS = [
    (asgi3, b"asgi3"),
    (Wrapped(), b"asgi3"),
    (Wrapped, b"asgi3"),
    (Asgi2, b"asgi2"),
    (lambda scope: Asgi2(scope), b"asgi2"),
    (wsgi, b"wsgi /page"),
    (WsgiMiddleware(), b"wsgi /page"),
    (factory, b"wsgi /page"),
]


@pytest.mark.parametrize(("app", "answer"), APPS)
def test_what_answers_is_found_out(app: Any, answer: bytes) -> None:
    assert asyncio.run(_get(app)) == (200, answer)


def test_frameworks_are_found_out() -> None:
    flask, fastapi = pytest.importorskip("flask"), pytest.importorskip("fastapi")

    def create_app() -> Any:
        web = flask.Flask("x")
        web.get("/page")(lambda: "flask")
        return web

    api = fastapi.FastAPI()
    api.get("/page")(lambda: "fastapi")
    assert asyncio.run(_get(create_app)) == (200, b"flask")
    assert asyncio.run(_get(create_app())) == (200, b"flask")
    assert asyncio.run(_get(api)) == (200, b'"fastapi"')


class Tornado:
    def __call__(self, request: Any) -> None: ...


def itself() -> Any:
    return itself


WRONG = [
    (None, "one: app:x is a builtins.NoneType, not an ASGI or WSGI application"),
    (5, "is a builtins.int, not"),
    (Tornado(), "Tornado, not an ASGI or WSGI application"),
    (lambda a, b, c, d: None, r"is the function <lambda>\(a, b, c, d\), not"),
    (itself, r"is the function itself\(\)"),
    (lambda: 5, "is a builtins.int, not"),
]


@pytest.mark.parametrize(("app", "message"), WRONG)
def test_what_is_none_is_named(app: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        asgi_app(app, "one: app:x")


async def _get(app: Any) -> tuple[int, bytes]:
    sent: list[Any] = []
    done = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        if not done.is_set():
            done.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.Future()

    scope = {"type": "http", "method": "GET", "path": "/page", "raw_path": b"/page", "root_path": "", "headers": []}
    scope |= {"query_string": b"", "scheme": "http", "server": ("h", 80), "client": ("c", 1), "http_version": "1.1"}
    await asgi_app(app, "one: app:app")(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)
