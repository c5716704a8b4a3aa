"""The order service: plain HTTP, written by hand; looks up the user and the product of each order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mesh import Code, Peer, StatusError
from mesh.store.checks import MAX_ID, whole_number
from mesh.store.database import Database
from mesh.store.once import idempotency
from mesh.store.tables import Tables
from mesh.store.web import Resource, document_route, json_body, web_app

_TABLES = Tables("""
CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL, product_id INTEGER NOT NULL,
    quantity INTEGER NOT NULL, total_price TEXT NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL
);
""")
_INSERT = """
INSERT INTO orders (user_id, product_id, quantity, total_price, status, created_at)
VALUES (:user_id, :product_id, :quantity, :total_price, :status, :created_at)
"""
#: The largest total that a JSON number represents to the cent.
MAX_TOTAL = Decimal(10) ** 13

users = Peer("user-service")
products = Peer("product-service")


class Orders(Resource):
    async def get(self, request: Request) -> Response:
        rows = await run_in_threadpool(database_of(request).rows, "SELECT * FROM orders ORDER BY id")
        return JSONResponse([as_json(dict(row)) for row in rows])

    async def post(self, request: Request) -> Response:
        wanted = wanted_order(await json_body(request))
        once = idempotency(wanted)
        if once is not None and (known := await run_in_threadpool(database_of(request).inserted, once)) is not None:
            return created(await run_in_threadpool(stored, database_of(request), known))
        product = await product_for(wanted)
        order = wanted | {
            "total_price": str(total_price(product.price, wanted["quantity"])),
            "status": "created",
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        new = await run_in_threadpool(database_of(request).insert, _INSERT, order, once)
        return created(await run_in_threadpool(stored, database_of(request), new.id))


class Order(Resource):
    async def get(self, request: Request) -> Response:
        text = request.path_params["id"]
        if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > MAX_ID:
            raise StatusError(Code.INVALID_ARGUMENT, f"id: {text!r:.40} is not a whole number from 0 to {MAX_ID}")
        return JSONResponse(await run_in_threadpool(stored, database_of(request), int(text)))


def stored(database: Database, order_id: int) -> dict[str, Any]:
    """Return the order as JSON; raises NOT_FOUND if there is none."""
    rows = database.rows("SELECT * FROM orders WHERE id = ?", (order_id,))
    if not rows:
        raise StatusError(Code.NOT_FOUND, f"order {order_id} does not exist")
    return as_json(dict(rows[0]))


def created(order: dict[str, Any]) -> Response:
    return JSONResponse(order, 201, {"location": f"/orders/{order['id']}"})


async def product_for(wanted: Mapping[str, int]) -> Any:
    """Return the product ordered, looking up the user at the same time; an error with the user is raised first."""
    user = asyncio.ensure_future(users.GetUser(id=wanted["user_id"]))
    product = asyncio.ensure_future(products.GetProduct(id=wanted["product_id"]))
    try:
        await user
        return await product
    finally:
        user.cancel()
        product.cancel()
        await asyncio.gather(user, product, return_exceptions=True)


def wanted_order(body: object) -> dict[str, int]:
    """Return user_id, product_id and quantity from a request's body; raises INVALID_ARGUMENT naming the mistake."""
    least = {"user_id": -(2**31), "product_id": -(2**31), "quantity": 1}
    if not isinstance(body, Mapping):
        raise StatusError(Code.INVALID_ARGUMENT, f"an order is an object of {', '.join(least)}")
    for field in body:
        if field not in least:
            raise StatusError(Code.INVALID_ARGUMENT, f"{field!r:.40} is not a field of an order: {', '.join(least)}")
    return {field: whole_number(field, body.get(field), floor) for field, floor in least.items()}


def total_price(price: float, quantity: int) -> Decimal:
    """Return the total to the cent, halves rounded up, computed from the price's shortest decimal form."""
    total = Decimal(repr(price)) * quantity
    if total > MAX_TOTAL:
        raise StatusError(Code.INVALID_ARGUMENT, f"quantity: the total of {quantity} x {price} is over {MAX_TOTAL}")
    return total.quantize(Decimal("0.01"), ROUND_HALF_UP)


def as_json(order: dict[str, Any]) -> dict[str, Any]:
    """Return the stored row with its total as a number."""
    return order | {"total_price": float(order["total_price"])}


def database_of(request: Request) -> Database:
    database: Database = request.state.database
    return database


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    # In the state of this start, not of the app: two meshes in one process share the module.
    yield {"database": Database.of_current_service(_TABLES)}


def describe() -> dict[str, Any]:
    from mesh.store.order_api import order_document  # rarely requested; not needed at start

    return order_document()


app = web_app(Route("/orders", Orders), Route("/orders/{id}", Order), document_route(describe), lifespan=lifespan)
