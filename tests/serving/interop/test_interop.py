"""gRPC's official interoperability cases, asked by a sync client, by an async one, and by one in Node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import interop_pb2 as pb
import interop_pb2_grpc as pb_grpc
import pytest

from tests.serving.interop.servicers import INITIAL, TRAILING

HERE = Path(__file__).parent
NODE = HERE.parents[1] / "contract" / "clients" / "node_modules"

SIZES = (31415, 9, 2653, 58979)
REQUEST_SIZES = (27182, 8, 1828, 45904)
METADATA = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


def large() -> Any:
    return pb.SimpleRequest(response_size=314159, payload=pb.Payload(body=bytes(271828)))


def asking(*sizes: int, interval_us: int = 0, body: int = 0, **status: Any) -> Any:
    wanted = [pb.ResponseParameters(size=size, interval_us=interval_us) for size in sizes]
    payload = pb.Payload(body=bytes(body))
    return pb.StreamingOutputCallRequest(response_parameters=wanted, payload=payload, **status)


def size(answer: Any) -> int:
    return len(answer.payload.body)


class Requests:
    """Requests that are sent when the test says so."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()

    def send(self, request: Any) -> None:
        self._queue.put(request)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._queue.get, None)


class SyncCases:
    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = pb_grpc.TestServiceStub(channel)
        self.unimplemented = pb_grpc.UnimplementedServiceStub(channel)

    def failure(self, ask: Any) -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as caught:
            ask()
        return caught.value.code().name, str(caught.value.details())

    def empty_unary(self) -> None:
        assert self.stub.EmptyCall(pb.Empty(), timeout=30) == pb.Empty()

    def large_unary(self) -> None:
        assert size(self.stub.UnaryCall(large(), timeout=30)) == 314159

    def client_streaming(self) -> None:
        requests = [pb.StreamingInputCallRequest(payload=pb.Payload(body=bytes(n))) for n in REQUEST_SIZES]
        assert self.stub.StreamingInputCall(iter(requests), timeout=30).aggregated_payload_size == 74922

    def server_streaming(self) -> None:
        assert [*map(size, self.stub.StreamingOutputCall(asking(*SIZES), timeout=30))] == [*SIZES]

    def ping_pong(self) -> None:
        requests = Requests()
        answers = self.stub.FullDuplexCall(iter(requests), timeout=30)
        for wanted, body in zip(SIZES, REQUEST_SIZES, strict=True):
            requests.send(asking(wanted, body=body))
            assert size(next(answers)) == wanted
        requests.send(None)
        assert list(answers) == []

    def empty_stream(self) -> None:
        assert list(self.stub.FullDuplexCall(iter(()), timeout=30)) == []

    def cancel_after_begin(self) -> None:
        requests = Requests()
        call = self.stub.StreamingInputCall.future(iter(requests), timeout=30)
        call.cancel()
        requests.send(None)
        assert call.cancelled()
        assert call.code() is grpc.StatusCode.CANCELLED

    def cancel_after_first_response(self) -> None:
        requests = Requests()
        call = self.stub.FullDuplexCall(iter(requests), timeout=30)
        requests.send(asking(31415, body=27182))
        assert size(next(call)) == 31415
        call.cancel()
        requests.send(None)
        assert self.failure(lambda: next(call))[0] == "CANCELLED"

    def timeout_on_sleeping_server(self) -> None:
        requests = Requests()
        call = self.stub.FullDuplexCall(iter(requests), timeout=0.001)
        requests.send(asking(31415, interval_us=100_000, body=27182))
        assert self.failure(lambda: list(call))[0] == "DEADLINE_EXCEEDED"
        requests.send(None)

    def status_code_and_message(self, message: str = "test status message") -> None:
        status = pb.EchoStatus(code=2, message=message)
        unary = pb.SimpleRequest(response_size=1, payload=pb.Payload(body=b"0"), response_status=status)
        assert self.failure(lambda: self.stub.UnaryCall(unary, timeout=30)) == ("UNKNOWN", message)
        call = self.stub.FullDuplexCall(iter([asking(1, body=1, response_status=status)]), timeout=30)
        assert self.failure(lambda: list(call)) == ("UNKNOWN", message)

    def special_status_message(self) -> None:
        self.status_code_and_message(SPECIAL)

    def unimplemented_method(self) -> None:
        code, _ = self.failure(lambda: self.stub.UnimplementedCall(pb.Empty(), timeout=30))
        assert code == "UNIMPLEMENTED"

    def unimplemented_service(self) -> None:
        code, _ = self.failure(lambda: self.unimplemented.UnimplementedCall(pb.Empty(), timeout=30))
        assert code == "UNIMPLEMENTED"

    def custom_metadata(self) -> None:
        _, call = self.stub.UnaryCall.with_call(large(), metadata=METADATA, timeout=30)
        assert dict(call.initial_metadata())[INITIAL] == "test_initial_metadata_value"
        assert dict(call.trailing_metadata())[TRAILING] == b"\xab\xab\xab"
        duplex = self.stub.FullDuplexCall(iter([asking(314159, body=271828)]), metadata=METADATA, timeout=30)
        assert dict(duplex.initial_metadata())[INITIAL] == "test_initial_metadata_value"
        assert [*map(size, duplex)] == [314159]
        assert dict(duplex.trailing_metadata())[TRAILING] == b"\xab\xab\xab"


class AioCases:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = pb_grpc.TestServiceStub(channel)
        self.unimplemented = pb_grpc.UnimplementedServiceStub(channel)

    async def failure(self, call: Any) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return caught.value.code().name, str(caught.value.details()) or ""

    async def empty_unary(self) -> None:
        assert await self.stub.EmptyCall(pb.Empty(), timeout=30) == pb.Empty()

    async def large_unary(self) -> None:
        assert size(await self.stub.UnaryCall(large(), timeout=30)) == 314159

    async def client_streaming(self) -> None:
        requests = [pb.StreamingInputCallRequest(payload=pb.Payload(body=bytes(n))) for n in REQUEST_SIZES]
        answer = await self.stub.StreamingInputCall(iter(requests), timeout=30)
        assert answer.aggregated_payload_size == 74922

    async def server_streaming(self) -> None:
        answers = self.stub.StreamingOutputCall(asking(*SIZES), timeout=30)
        assert [size(answer) async for answer in answers] == [*SIZES]

    async def ping_pong(self) -> None:
        call = self.stub.FullDuplexCall(timeout=30)
        for wanted, body in zip(SIZES, REQUEST_SIZES, strict=True):
            await call.write(asking(wanted, body=body))
            assert size(await call.read()) == wanted
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF

    async def empty_stream(self) -> None:
        call = self.stub.FullDuplexCall(timeout=30)
        await call.done_writing()
        assert [answer async for answer in call] == []

    async def cancel_after_begin(self) -> None:
        call = self.stub.StreamingInputCall(timeout=30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await call.code() is grpc.StatusCode.CANCELLED

    async def cancel_after_first_response(self) -> None:
        call = self.stub.FullDuplexCall(timeout=30)
        await call.write(asking(31415, body=27182))
        assert size(await call.read()) == 31415
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.read()
        assert await call.code() is grpc.StatusCode.CANCELLED

    async def timeout_on_sleeping_server(self) -> None:
        # Not the millisecond of the sync client: where it has passed before the call is out, grpc.aio says INTERNAL.
        call = self.stub.FullDuplexCall(timeout=0.1)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # where it ends depends on the time
            await call.write(asking(31415, interval_us=500_000, body=27182))
            await call.read()
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    async def status_code_and_message(self, message: str = "test status message") -> None:
        status = pb.EchoStatus(code=2, message=message)
        unary = pb.SimpleRequest(response_size=1, payload=pb.Payload(body=b"0"), response_status=status)
        assert await self.failure(self.stub.UnaryCall(unary, timeout=30)) == ("UNKNOWN", message)
        call = self.stub.FullDuplexCall(iter([asking(1, body=1, response_status=status)]), timeout=30)
        assert await self.failure(all_of(call)) == ("UNKNOWN", message)

    async def special_status_message(self) -> None:
        await self.status_code_and_message(SPECIAL)

    async def unimplemented_method(self) -> None:
        assert (await self.failure(self.stub.UnimplementedCall(pb.Empty(), timeout=30)))[0] == "UNIMPLEMENTED"

    async def unimplemented_service(self) -> None:
        call = self.unimplemented.UnimplementedCall(pb.Empty(), timeout=30)
        assert (await self.failure(call))[0] == "UNIMPLEMENTED"

    async def custom_metadata(self) -> None:
        call = self.stub.UnaryCall(large(), metadata=METADATA, timeout=30)
        assert (await call.initial_metadata())[INITIAL] == "test_initial_metadata_value"
        assert (await call.trailing_metadata())[TRAILING] == b"\xab\xab\xab"
        duplex = self.stub.FullDuplexCall(iter([asking(314159, body=271828)]), metadata=METADATA, timeout=30)
        assert (await duplex.initial_metadata())[INITIAL] == "test_initial_metadata_value"
        assert [size(answer) async for answer in duplex] == [314159]
        assert (await duplex.trailing_metadata())[TRAILING] == b"\xab\xab\xab"


async def all_of(call: Any) -> list[Any]:
    return [answer async for answer in call]


CASES = (
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "custom_metadata",
)


def test_a_sync_client_passes_every_interoperability_case(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        for case in CASES:
            getattr(SyncCases(channel), case)()


def test_an_async_client_passes_every_interoperability_case(target: str) -> None:
    async def ask() -> None:
        async with grpc.aio.insecure_channel(target) as channel:
            for case in CASES:
                await getattr(AioCases(channel), case)()

    asyncio.run(ask())


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_a_client_in_node_passes_every_interoperability_case(target: str) -> None:
    proto = str(HERE.parent / "protos" / "interop.proto")
    env = {**os.environ, "NODE_CLIENTS": str(NODE)}
    words = ["node", str(HERE / "cases.mjs"), target, proto, *CASES]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == ([*CASES], "")
