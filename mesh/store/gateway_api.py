"""The gateway's own routes as OpenAPI: each service's document, under `/api`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mesh.contract import Contract, comments_of, merge_documents, openapi
from mesh.store.order_api import order_document
from mesh.store.pb import product_pb2, user_pb2

_OBJECT = {"content": {"application/json": {"schema": {"type": "object"}}}}
_OWN = {
    "info": {"title": "gateway", "version": "1"},
    "tags": [{"name": "gateway", "description": "The gateway itself."}],
    "paths": {
        "/": {
            "get": {
                "operationId": "ListEndpoints",
                "tags": ["gateway"],
                "summary": "Lists what the gateway answers.",
                "responses": {"200": {"description": "The endpoints.", **_OBJECT}},
            }
        },
        "/health": {
            "get": {
                "operationId": "CheckHealth",
                "tags": ["gateway"],
                "summary": "Tells whether the gateway serves.",
                "responses": {"200": {"description": "It does.", **_OBJECT}},
            }
        },
    },
}


@cache
def gateway_document() -> dict[str, Any]:
    """Return the OpenAPI document of `/api/...`, over HTTP to the services; mesh adds the mounted contracts."""
    comments = comments_of((Path(__file__).parent / "pb" / "descriptors.pb").read_bytes())
    services = [
        user_pb2.DESCRIPTOR.services_by_name["UserService"],
        product_pb2.DESCRIPTOR.services_by_name["ProductService"],
    ]
    documents = [openapi(Contract.of([service]), url="/api", comments=comments) for service in services]
    for document in documents:
        # The proxy forwards a noun and the paths below it; methods such as `/users:watch` are under /api/grpc.
        document["paths"] = {path: item for path, item in document["paths"].items() if ":" not in path}
    return merge_documents([*documents, order_document("/api"), _OWN], title="gateway")
