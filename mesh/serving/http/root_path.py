"""The path under which a proxy publishes an application and which it has removed: ASGI's `root_path`."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

#: What a path may hold; a percent sign is that of an author who has quoted the rest.
_AS_IT_IS = "/%:@!$&'()*+,;="


def enter(scope: Scope, root_path: str) -> None:
    """Put the path before that of the request, as uvicorn does with `--root-path`."""
    raw = quote(root_path, safe=_AS_IT_IS).encode() + scope["raw_path"]
    scope.update(root_path=root_path, path=root_path + scope["path"], raw_path=raw)


class RootPath:
    """Tells the application its root path with every request."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            enter(scope, self._root_path)
        await self._app(scope, receive, send)
