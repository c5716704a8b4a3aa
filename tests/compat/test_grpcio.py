"""The private parts of grpcio that mesh relies on are as mesh takes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from mesh.compat.grpcio import end_call, ended


class Waiting(grpc.GenericRpcHandler):
    """A method that waits to be let go, and then leaves as the handler of a call that was ended."""

    def __init__(self) -> None:
        self.contexts: list[Any] = []
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()
        self.left = threading.Event()

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.wait)

    def wait(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        self.entered.release()
        assert self.released.wait(30)
        self.left.set()
        raise ended(context)


@pytest.fixture
def handler() -> Waiting:
    return Waiting()


@pytest.fixture
def channel(handler: Waiting) -> Iterator[grpc.Channel]:
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    handler.released.set()
    server.stop(None).wait(10)


def test_a_call_can_be_ended_while_its_handler_goes_on_which_then_leaves_quietly(
    handler: Waiting, channel: grpc.Channel, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    call = channel.unary_unary("/a/b").future(b"", timeout=30)
    assert handler.entered.acquire(timeout=30)
    end_call(handler.contexts[0], grpc.StatusCode.UNAVAILABLE, "stopped")
    error = call.exception(timeout=30)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "stopped")
    end_call(handler.contexts[0], grpc.StatusCode.ABORTED, "twice says nothing")
    handler.released.set()
    assert handler.left.wait(30)
    # A second call ends after the first one's handler has: whatever grpc says of that is said by now.
    with pytest.raises(grpc.RpcError):
        channel.unary_unary("/a/b")(b"", timeout=0.2)
    assert caplog.records == []
    assert capfd.readouterr().err == ""
