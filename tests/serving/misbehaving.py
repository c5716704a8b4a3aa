"""Services that misbehave, and a socket that says whatever the test wants."""

from __future__ import annotations

import asyncio
import inspect
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import mesh.store
from mesh import Address, Code, StatusError, exception_handlers
from mesh.store.pb import user_pb2, user_pb2_grpc

#: Of the store's contracts.
DESCRIPTORS = Path(mesh.store.__file__).parent / "pb" / "descriptors.pb"

#: Longer than any metadata may be.
LONG = "ü % " * 10_000

GET = "/user.UserService/GetUser"


class Misbehaving(user_pb2_grpc.UserServiceServicer):
    """GetUser does what its id says; CreateUser fails with the code it is given as name, the e-mail as message."""

    def __init__(self) -> None:
        self.asked = 0
        self.hanging = threading.Semaphore(0)
        self.released = threading.Event()
        self.cancelled = threading.Event()

    def GetUser(self, request: user_pb2.GetUserRequest, context: Any) -> Any:
        self.asked += 1
        deeds: dict[int, Callable[[Any], Any]] = {
            1: self._raises,
            2: lambda context: sys.exit(3),
            3: lambda context: None,
            4: lambda context: "Ada",
            5: self._hangs,
            6: lambda context: context.abort(Code.PERMISSION_DENIED, "grpc's own codes only"),
            7: self._interrupts,
            8: self._sets_a_code,
            21: self._sets_a_code_and_raises,
            22: self._sets_a_code_without_a_word_and_raises,
            23: self._sets_a_number,
            24: lambda context: context.abort(grpc.StatusCode.NOT_FOUND, LONG),
            25: self._sets_a_long_text,
            26: self._raises_with_details,
            27: self._waits,
            28: self._aborts_beside_metadata,
            29: self._sets_a_long_text_beside_metadata,
        }
        deed: Any = deeds.get(request.id, lambda context: user_pb2.User(id=request.id, name="well"))
        return deed(context)

    def CreateUser(self, request: user_pb2.CreateUserRequest, context: Any) -> Any:
        raise StatusError(Code[request.name], request.email)

    def _raises(self, context: Any) -> None:
        raise ValueError("a secret")

    def _interrupts(self, context: Any) -> None:
        raise KeyboardInterrupt

    def _sets_a_code(self, context: Any) -> Any:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("set by hand")
        return user_pb2.User()

    def _sets_a_code_and_raises(self, context: Any) -> None:
        context.set_code(grpc.StatusCode.ABORTED)
        context.set_details("set by hand")
        raise ValueError("a secret")

    def _sets_a_code_without_a_word_and_raises(self, context: Any) -> None:
        context.set_code(grpc.StatusCode.ABORTED)
        raise ValueError("a secret")

    def _sets_a_number(self, context: Any) -> Any:
        context.set_code(99)
        context.set_details("no such code")
        return user_pb2.User()

    def _sets_a_long_text(self, context: Any) -> Any:
        context.set_code(grpc.StatusCode.ABORTED)
        context.set_details(LONG)
        return user_pb2.User()

    def _aborts_beside_metadata(self, context: Any) -> Any:
        context.set_trailing_metadata((("x-large", "y" * 4000),))
        return context.abort(grpc.StatusCode.NOT_FOUND, LONG)

    def _sets_a_long_text_beside_metadata(self, context: Any) -> Any:
        context.set_trailing_metadata((("x-large", "y" * 4000),))
        return self._sets_a_long_text(context)

    def _raises_with_details(self, context: Any) -> None:
        context.set_trailing_metadata((("x-tried", "2"),))
        raise StatusError(Code.NOT_FOUND, LONG, [error_details_pb2.ErrorInfo(reason="GONE", domain="d" * 100)])

    def _waits(self, context: Any) -> Any:
        self.hanging.release()
        assert self.released.wait(60)
        return user_pb2.User(id=27)

    def _hangs(self, context: Any) -> Any:
        context.add_callback(self.cancelled.set)
        self.hanging.release()
        while not (self.released.wait(0.01) or self.cancelled.is_set()):
            pass
        return user_pb2.User(id=5)


class MisbehavingAsync(Misbehaving):
    """The same deeds in coroutine functions, but for those that need a thread."""

    async def GetUser(self, request: user_pb2.GetUserRequest, context: Any) -> Any:
        if request.id in (5, 27):
            return await self._hangs_async()
        answer = super().GetUser(request, context)
        return await answer if inspect.isawaitable(answer) else answer

    async def _hangs_async(self) -> Any:
        self.hanging.release()
        try:
            await asyncio.to_thread(self.released.wait)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return user_pb2.User(id=5)


async def raises(request: Request) -> Response:
    raise ValueError("a secret")


async def exits(request: Request) -> Response:
    sys.exit(3)


def exits_in_a_thread(request: Request) -> Response:
    sys.exit(3)


async def interrupts(request: Request) -> Response:
    raise KeyboardInterrupt


async def answers_nothing(request: Request) -> Any:
    return None


async def breaks_off(request: Request) -> Response:
    async def half() -> Any:
        yield b"half"
        raise ValueError("a secret")

    return StreamingResponse(half(), headers={"content-length": "8"})


#: What HTTP cannot carry, and what the log says of it.
BAD_STARTS: dict[str, tuple[int, list[tuple[Any, Any]], str]] = {
    "line break": (200, [(b"x-a", b"1\r\nx-b: 2")], "ValueError: HTTP cannot carry the header x-a: b'1\\r\\nx-b: 2'"),
    "nul": (200, [(b"x-a", b"\x00")], "ValueError: HTTP cannot carry the header x-a: b'\\x00'"),
    "name": (200, [(b"x a", b"1")], "ValueError: b'x a' is not a valid name of an HTTP header"),
    "text": (200, [("x-a", "1")], "TypeError: the header 'x-a': '1' is not bytes, as ASGI requires"),
    "length": (200, [(b"content-length", b"two")], "ValueError: HTTP cannot carry the header content-length: b'two'"),
    "status": (999, [], "ValueError: the status 999 is not an HTTP status"),
}


class BadStart:
    """An ASGI application: starlette takes functions for handlers."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        status, headers, _ = BAD_STARTS[scope["path_params"]["kind"]]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


async def refuses(request: Request) -> Response:
    raise StatusError(Code[request.path_params["code"]], (await request.body()).decode())


async def well(request: Request) -> Response:
    return PlainTextResponse("well")


APP = Starlette(
    routes=[
        Route("/raises", raises),
        Route("/exits", exits),
        Route("/exits-in-a-thread", exits_in_a_thread),
        Route("/interrupts", interrupts),
        Route("/answers-nothing", answers_nothing),
        Route("/breaks-off", breaks_off),
        Route("/starts-badly/{kind}", BadStart()),
        Route("/refuses/{code}", refuses, methods=["POST"]),
        Route("/well", well),
    ],
    exception_handlers=exception_handlers,
)


def say(address: Address, content: bytes, timeout: float = 10) -> bytes:
    """Return all that is answered until the other side hangs up."""
    with socket.create_connection((address.host, address.port), timeout=timeout) as connection:
        connection.sendall(content)
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def failure(ask: Any) -> tuple[str, str]:
    """Return the code and the details that the call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        ask()
    return caught.value.code().name, str(caught.value.details())


def wait_until(true: Any, seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come to be"
