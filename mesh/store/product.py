"""The product service: proto/product.proto defines both its REST API and its gRPC methods."""

from __future__ import annotations

import math
from collections.abc import Iterator

import grpc

from mesh import Code, StatusError
from mesh.store.checks import required_text
from mesh.store.database import Database
from mesh.store.feed import Feed
from mesh.store.once import Once, idempotency
from mesh.store.pb import product_pb2, product_pb2_grpc
from mesh.store.tables import Tables

_TABLES = Tables("""
CREATE TABLE products (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, price REAL NOT NULL, description TEXT NOT NULL
);
INSERT INTO products (name, price, description) VALUES
    ('Laptop', 999.99, 'Fourteen inches, and quiet'),
    ('Mouse', 24.5, 'Two buttons and a wheel');
""")
_COLUMNS = "id, name, price, description"


class ProductServicer(product_pb2_grpc.ProductServiceServicer):
    def __init__(self) -> None:
        self._database = Database.of_current_service(_TABLES)
        self._created = Feed.of_current_service()

    def ListProducts(
        self, request: product_pb2.ListProductsRequest, context: grpc.ServicerContext
    ) -> product_pb2.ListProductsResponse:
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM products ORDER BY id")
        return product_pb2.ListProductsResponse(products=[product_pb2.Product(**dict(row)) for row in rows])

    def GetProduct(self, request: product_pb2.GetProductRequest, context: grpc.ServicerContext) -> product_pb2.Product:
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM products WHERE id = ?", (request.id,))
        if not rows:
            raise StatusError(Code.NOT_FOUND, f"product {request.id} does not exist")
        return product_pb2.Product(**dict(rows[0]))

    def CreateProduct(
        self, request: product_pb2.CreateProductRequest, context: grpc.ServicerContext
    ) -> product_pb2.Product:
        return self._create(request, idempotency(request))

    def WatchProducts(
        self, request: product_pb2.WatchProductsRequest, context: grpc.ServicerContext
    ) -> Iterator[product_pb2.Product]:
        return self._created.follow(context)

    def ImportProducts(
        self, requests: Iterator[product_pb2.CreateProductRequest], context: grpc.ServicerContext
    ) -> Iterator[product_pb2.Product]:
        for request in requests:
            yield self._create(request)

    def _create(self, request: product_pb2.CreateProductRequest, once: Once | None = None) -> product_pb2.Product:
        name = required_text("name", request.name)
        if not request.HasField("price"):
            raise StatusError(Code.INVALID_ARGUMENT, "price is required")
        if not math.isfinite(request.price) or request.price < 0:
            raise StatusError(Code.INVALID_ARGUMENT, f"price: {request.price} is not a finite number from 0 up")
        values = (name, request.price, request.description)
        row = self._database.insert("INSERT INTO products (name, price, description) VALUES (?, ?, ?)", values, once)
        product = product_pb2.Product(id=row.id, name=name, price=request.price, description=request.description)
        if row.is_new:
            self._created.publish(product)
        return product
