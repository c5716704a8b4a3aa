"""The gateway: `/api/...` goes to the services over HTTP; the topology mounts `/api/grpc/...`."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mesh import proxy
from mesh.store.web import Resource, document_route, web_app

_ENDPOINTS = {
    "over gRPC to the service": [
        "/api/grpc/users",
        "/api/grpc/users/{id}",
        "/api/grpc/products",
        "/api/grpc/products/{id}",
    ],
    "over HTTP to the service": [
        "/api/users",
        "/api/users/{id}",
        "/api/products",
        "/api/products/{id}",
        "/api/orders",
        "/api/orders/{id}",
    ],
    "of the gateway itself": ["/", "/health", "/openapi.json", "/docs"],
}


class Index(Resource):
    async def get(self, request: Request) -> Response:
        return JSONResponse({"service": "gateway", "endpoints": _ENDPOINTS})


def describe() -> dict[str, Any]:
    from mesh.store.gateway_api import gateway_document  # rarely requested; not needed at start

    return gateway_document()


app = web_app(
    Route("/", Index),
    document_route(describe),
    *(
        Route(path + rest, proxy(service, strip="/api"))
        for path, service in (
            ("/api/users", "user-service"),
            ("/api/products", "product-service"),
            ("/api/orders", "order-service"),
        )
        for rest in ("", "/{rest:path}")
    ),
)
