"""The order service's API as OpenAPI, written by hand like its routes."""

from __future__ import annotations

from functools import cache
from typing import Any

from mesh.contract import Contract, merge_documents, openapi
from mesh.store.checks import MAX_ID

_ID = {"type": "integer", "format": "int32", "minimum": 0, "maximum": MAX_ID}
_ANY_ID = {**_ID, "minimum": -(2**31)}
_ORDER = {"$ref": "#/components/schemas/Order"}
_ERROR = {
    "description": "An error.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/google.rpc.Status"}}},
}
_SCHEMAS = {
    "NewOrder": {
        "type": "object",
        "properties": {
            "user_id": _ANY_ID,
            "product_id": _ANY_ID,
            "quantity": {"type": "integer", "format": "int32", "minimum": 1, "maximum": MAX_ID},
        },
        "required": ["user_id", "product_id", "quantity"],
        "additionalProperties": False,
    },
    "Order": {
        "type": "object",
        "properties": {
            "id": _ID,
            "user_id": _ANY_ID,
            "product_id": _ANY_ID,
            "quantity": {"type": "integer", "format": "int32"},
            "total_price": {"type": "number", "format": "double"},
            "status": {"type": "string"},
            "created_at": {"type": "string", "format": "date-time"},
        },
        "required": ["id", "user_id", "product_id", "quantity", "total_price", "status", "created_at"],
    },
}
_LIST = {
    "operationId": "ListOrders",
    "tags": ["orders"],
    "summary": "Lists every order, oldest first.",
    "parameters": [],
    "responses": {
        "200": {
            "description": "The orders.",
            "content": {"application/json": {"schema": {"type": "array", "items": _ORDER}}},
        },
        "default": _ERROR,
    },
}
_CREATE = {
    "operationId": "CreateOrder",
    "tags": ["orders"],
    "summary": "Stores an order of a user for a product, both of which must exist.",
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Sent twice with one key, an order is stored once.",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewOrder"}}},
    },
    "responses": {
        "201": {
            "description": "The order as it was stored.",
            "headers": {"Location": {"schema": {"type": "string"}}},
            "content": {"application/json": {"schema": _ORDER}},
            "links": {"GetOrder": {"operationId": "GetOrder", "parameters": {"id": "$response.body#/id"}}},
        },
        "default": _ERROR,
    },
}
_GET = {
    "operationId": "GetOrder",
    "tags": ["orders"],
    "summary": "Returns the order with this id.",
    "parameters": [{"name": "id", "in": "path", "required": True, "schema": _ID}],
    "responses": {
        "200": {"description": "The order.", "content": {"application/json": {"schema": _ORDER}}},
        "default": _ERROR,
    },
}


@cache
def order_document(url: str = "/") -> dict[str, Any]:
    """Return the OpenAPI document of the orders under `url`."""
    orders = {
        "info": {"title": "Orders", "version": "1"},
        "servers": [{"url": url}],
        "tags": [{"name": "orders", "description": "Who ordered what."}],
        "paths": {"/orders": {"get": _LIST, "post": _CREATE}, "/orders/{id}": {"get": _GET}},
        "components": {"schemas": _SCHEMAS},
    }
    # The document without contracts has the schema of an error.
    return merge_documents([openapi(Contract(())), orders], title="Orders")
