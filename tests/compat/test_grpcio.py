"""grpcio's synchronous server and its words for failed connections are as mesh takes them."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from mesh.compat.grpcio import end_call, ended, is_not_http2, is_unconnected, methods_of, run_in
from tests.support.raw_calls import unary


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
    call = unary(channel, "/a/b").future(b"", timeout=30)
    assert handler.entered.acquire(timeout=30)
    end_call(handler.contexts[0], grpc.StatusCode.UNAVAILABLE, "stopped")
    error: Any = call.exception(timeout=30)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "stopped")
    end_call(handler.contexts[0], grpc.StatusCode.ABORTED, "twice says nothing")
    handler.released.set()
    assert handler.left.wait(30)
    # A second call ends after the first one's handler has: whatever grpc says of that is said by now.
    with pytest.raises(grpc.RpcError):
        unary(channel, "/a/b")(b"", timeout=0.2)
    assert caplog.records == []
    assert "Traceback" not in capfd.readouterr().err  # other channels of the process may write lines of their own


def test_details_say_when_no_connection_was_made_and_when_the_peer_is_no_grpc_server() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        refused = failure(taken.getsockname()[1])
    assert is_unconnected(refused)
    assert not is_not_http2(refused)
    for protocol in ("HTTP/1.0", "HTTP/1.1"):
        handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {"protocol_version": protocol})
        with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            other = failure(server.server_address[1])
            server.shutdown()
        assert is_not_http2(other)
        assert is_unconnected(other)


def failure(port: int) -> str:
    """Return the details of a call to this port, which is UNAVAILABLE."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
        unary(channel, "/a/b")(b"", timeout=30)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    return str(error.details())


def test_the_methods_of_a_generic_handler_are_found_by_path_and_those_of_others_are_not() -> None:
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    assert methods_of(grpc.method_handlers_generic_handler("a", {"b": method})) == {"/a/b": method}
    assert methods_of(Waiting()) is None


def test_a_method_runs_in_the_pool_that_it_is_given() -> None:
    def name(request: bytes, context: Any) -> bytes:
        return threading.current_thread().name.encode()

    with ThreadPoolExecutor(1, thread_name_prefix="own") as own:
        run_in(own, name)
        handler = grpc.method_handlers_generic_handler("a", {"b": grpc.unary_unary_rpc_method_handler(name)})
        server = grpc.server(ThreadPoolExecutor(1, thread_name_prefix="server"), handlers=[handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert unary(channel, "/a/b")(b"", timeout=30) == b"own_0"
        server.stop(None).wait(10)
