"""The servicer that the peers of these tests ask, and the service in which they ask it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import grpc
from calls_pb2 import Item
from calls_pb2_grpc import CallsServicer, add_CallsServicer_to_server
from google.rpc import error_details_pb2
from msgspec.structs import replace

from mesh import Address, Code, ServiceContext, StatusError
from mesh.context import Call, current_call
from mesh.service import current_service_var
from mesh.topology.model import Kind

T = TypeVar("T")

MISSING = 99


class Calls(CallsServicer):
    """asked: the metadata of each call of Get and Put. refusals: how many of these are UNAVAILABLE from now on.

    left: set when a call of Watch has ended.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, str | bytes]] = []
        self.refusals = 0
        self.left = threading.Event()

    def Get(self, request: Item, context: Any) -> Item:
        self.asked.append(dict(context.invocation_metadata()))
        context.send_initial_metadata((("etag", "first"),))
        if self.refusals:
            self.refusals -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if request.id == MISSING:
            detail = error_details_pb2.ErrorInfo(reason="GONE", domain="items")
            raise StatusError(Code.NOT_FOUND, "item 99 does not exist", [detail])
        context.set_trailing_metadata((("expires", "last"),))
        return request

    Put = Get

    def Watch(self, request: Item, context: Any) -> Iterator[Item]:
        context.add_callback(self.left.set)
        context.send_initial_metadata((("etag", "first"),))
        context.set_trailing_metadata((("expires", "last"),))
        for number in range(1, request.id + 1):
            yield Item(id=number)
        if request.name:
            context.abort(grpc.StatusCode.DATA_LOSS, "the shelf broke")

    def Sum(self, requests: Iterator[Item], context: Any) -> Item:
        return Item(id=sum(each.id for each in requests))

    def Chat(self, requests: Iterator[Item], context: Any) -> Iterator[Item]:
        for request in requests:
            yield Item(id=request.id * 10)


@contextmanager
def serving(servicer: Calls, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """The servicer on a bare grpc server; yields its address."""
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    add_CallsServicer_to_server(servicer, server)
    address = f"localhost:{port}"
    bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield f"localhost:{bound}"
    finally:
        server.stop(0).wait()


class Caller:
    """A service that calls others, as its own code sees itself."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The outcome of `work`, run in the service's own loop."""
        loop: Any = cast(Any, self.context.connections)._loop
        return self.plain(lambda: asyncio.run_coroutine_threadsafe(work(), loop)).result(60)

    def run_elsewhere(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the outcome of `work`, run in a loop that ends with it."""
        return self.plain(lambda: asyncio.run(work()))

    def plain(self, work: Callable[[], T]) -> T:
        """Return the outcome of `work`, run in this thread."""

        def inside() -> T:
            current_service_var.set(self.context)
            return work()

        return contextvars.copy_context().run(inside)

    def answering(self, *received: tuple[Any, Any]) -> Caller:
        """Return the same, while it answers a call that came with these headers or metadata."""
        parent = self

        class Answering(Caller):
            def plain(self, work: Callable[[], T]) -> T:
                def inside() -> T:
                    current_call.set(Call("0" * 31 + "1", "0" * 15 + "1", received=received))
                    return work()

                return parent.plain(inside)

        return Answering(self.context)

    def finding(self, **addresses: str | None) -> Caller:
        """Return the same, with `calls` found elsewhere: `finding(grpc="host:port")`; None for not at all."""
        known = dict(self.context.directory.addresses)
        for kind, address in cast("dict[Kind, str | None]", addresses).items():
            known.pop(("calls", kind), None)
            if address is not None:
                known["calls", kind] = Address.parse(address)
        return Caller(replace(self.context, directory=replace(self.context.directory, addresses=known)))
