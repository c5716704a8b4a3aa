"""The service that gRPC's interoperability tests ask, in plain functions, in coroutine functions, and in both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import interop_pb2 as pb
import interop_pb2_grpc as pb_grpc

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"


def metadata_of(context: Any, key: str) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in context.invocation_metadata() if name == key]


def echo_status(request: Any, context: Any) -> None:
    """Leave the code as a number, as the official servicer does."""
    if request.HasField("response_status"):
        context.set_code(request.response_status.code)
        context.set_details(request.response_status.message)


def output(size: int) -> Any:
    return pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(size)))


class Plain(pb_grpc.TestServiceServicer):
    def EmptyCall(self, request: Any, context: Any) -> Any:
        return pb.Empty()

    def UnaryCall(self, request: Any, context: Any) -> Any:
        if initial := metadata_of(context, INITIAL):
            context.send_initial_metadata(initial)
        context.set_trailing_metadata(metadata_of(context, TRAILING))
        echo_status(request, context)
        return pb.SimpleResponse(payload=pb.Payload(body=bytes(request.response_size)))

    def StreamingOutputCall(self, request: Any, context: Any) -> Iterator[Any]:
        echo_status(request, context)
        for wanted in request.response_parameters:
            time.sleep(wanted.interval_us / 1e6)
            yield output(wanted.size)

    def StreamingInputCall(self, request_iterator: Any, context: Any) -> Any:
        size = sum(len(request.payload.body) for request in request_iterator)
        return pb.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        if initial := metadata_of(context, INITIAL):
            context.send_initial_metadata(initial)
        context.set_trailing_metadata(metadata_of(context, TRAILING))
        for request in request_iterator:
            yield from self.StreamingOutputCall(request, context)


class Mixed(Plain):
    """One coroutine function makes the server an async one, which calls the plain functions in threads."""

    async def EmptyCall(self, request: Any, context: Any) -> Any:
        return pb.Empty()


class Coroutines(pb_grpc.TestServiceServicer):
    async def EmptyCall(self, request: Any, context: Any) -> Any:
        return pb.Empty()

    async def UnaryCall(self, request: Any, context: Any) -> Any:
        if initial := metadata_of(context, INITIAL):
            await context.send_initial_metadata(initial)
        context.set_trailing_metadata(metadata_of(context, TRAILING))
        echo_status(request, context)
        return pb.SimpleResponse(payload=pb.Payload(body=bytes(request.response_size)))

    async def StreamingOutputCall(self, request: Any, context: Any) -> AsyncIterator[Any]:
        echo_status(request, context)
        for wanted in request.response_parameters:
            await asyncio.sleep(wanted.interval_us / 1e6)
            yield output(wanted.size)

    async def StreamingInputCall(self, request_iterator: Any, context: Any) -> Any:
        sizes = [len(request.payload.body) async for request in request_iterator]
        return pb.StreamingInputCallResponse(aggregated_payload_size=sum(sizes))

    async def FullDuplexCall(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        if initial := metadata_of(context, INITIAL):
            await context.send_initial_metadata(initial)
        context.set_trailing_metadata(metadata_of(context, TRAILING))
        async for request in request_iterator:
            async for answer in self.StreamingOutputCall(request, context):
                yield answer


class Writing(Coroutines):
    """Streams by context.write() and context.read()."""

    async def StreamingOutputCall(self, request: Any, context: Any) -> None:  # type: ignore[override]
        echo_status(request, context)
        for wanted in request.response_parameters:
            await asyncio.sleep(wanted.interval_us / 1e6)
            await context.write(output(wanted.size))

    async def FullDuplexCall(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        import grpc.aio

        if initial := metadata_of(context, INITIAL):
            await context.send_initial_metadata(initial)
        context.set_trailing_metadata(metadata_of(context, TRAILING))
        while (request := await context.read()) is not grpc.aio.EOF:
            await self.StreamingOutputCall(request, context)
