"""Helpers that the store's hand-written HTTP services share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Lifespan

from mesh import Code, StatusError, exception_handlers, parse_json

#: Bytes of a request's body; the transcoded services have the same limit.
MAX_BODY = 4 * 1024 * 1024


class Resource(HTTPEndpoint):
    """An endpoint that lists its methods on OPTIONS."""

    async def options(self, request: Request) -> Response:
        return Response(status_code=204, headers={"allow": ", ".join(self._allowed_methods)})


def document_route(describe: Callable[[], dict[str, Any]]) -> Route:
    """Return the route of an OpenAPI document, which is generated when requested."""

    class Document(Resource):
        async def get(self, request: Request) -> Response:
            return JSONResponse(describe())

    return Route("/openapi.json", Document)


class ServingStatus(Resource):
    async def get(self, request: Request) -> Response:
        return JSONResponse({"status": "SERVING"})


async def json_body(request: Request) -> Any:
    """Return the request's JSON, or an object if the body is empty; raises StatusError, with 413 beyond MAX_BODY."""
    body = bytearray()
    _check_size(int(request.headers.get("content-length", 0)))
    async for chunk in request.stream():
        body += chunk
        _check_size(len(body))
    return parse_json(bytes(body)) if body.strip() else {}


def _check_size(size: int) -> None:
    if size > MAX_BODY:
        raise StatusError(Code.INVALID_ARGUMENT, f"the body is larger than {MAX_BODY} bytes", http_status=413)


def web_app(*routes: BaseRoute, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """Return an application that renders every error as google.rpc.Status; a trailing slash is another path."""
    app = Starlette(
        routes=[*routes, Route("/health", ServingStatus)], exception_handlers=exception_handlers, lifespan=lifespan
    )
    app.router.redirect_slashes = False
    return app
