"""A code that a handler has set stands when it then raises, whatever kind of method and of server it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import interop_pb2 as pb
import interop_pb2_grpc as pb_grpc
import pytest

from mesh import Grpc, Service
from mesh.observing.journal import Line
from mesh.observing.span import Span
from mesh.pytest_plugin import Mesh
from tests.serving.misbehaving import wait_until
from tests.support.raw_calls import metadata_of


def fail(context: Any) -> Any:
    context.set_trailing_metadata((("x-tried", "2"),))
    context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
    context.set_details("set by hand")
    raise ValueError("a secret")


class Plain(pb_grpc.TestServiceServicer):
    def UnaryCall(self, request: Any, context: Any) -> Any:
        fail(context)

    def StreamingOutputCall(self, request: Any, context: Any) -> Iterator[Any]:
        yield pb.StreamingOutputCallResponse()
        fail(context)

    def StreamingInputCall(self, request_iterator: Any, context: Any) -> Any:
        next(request_iterator)
        fail(context)

    def FullDuplexCall(self, request_iterator: Any, context: Any) -> Iterator[Any]:
        for _ in request_iterator:
            yield pb.StreamingOutputCallResponse()
        fail(context)


class Mixed(Plain):
    async def EmptyCall(self, request: Any, context: Any) -> Any:
        return pb.Empty()


class Coroutines(pb_grpc.TestServiceServicer):
    async def UnaryCall(self, request: Any, context: Any) -> Any:
        fail(context)

    async def StreamingOutputCall(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield pb.StreamingOutputCallResponse()
        fail(context)

    async def StreamingInputCall(self, request_iterator: Any, context: Any) -> Any:
        await anext(request_iterator)
        fail(context)

    async def FullDuplexCall(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        async for _ in request_iterator:
            yield pb.StreamingOutputCallResponse()
        fail(context)


class Writing(Coroutines):
    async def StreamingOutputCall(self, request: Any, context: Any) -> None:  # type: ignore[override]
        await context.write(pb.StreamingOutputCallResponse())
        fail(context)

    async def FullDuplexCall(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        async for _ in request_iterator:
            await context.write(pb.StreamingOutputCallResponse())
        fail(context)


KINDS = [Plain, Mixed, Coroutines, Writing]


def serving(start: Callable[..., Mesh], servicer: Any) -> Mesh:
    grpc_ = Grpc(port=0, servicers=(servicer,), services=("grpc.testing.TestService",))
    return start(Service("interop", grpc=grpc_))


@pytest.mark.parametrize("servicer", KINDS)
def test_the_code_the_details_and_the_metadata_that_were_set_end_the_call(
    start: Callable[..., Mesh], servicer: Any
) -> None:
    mesh = serving(start, servicer)
    stub = pb_grpc.TestServiceStub(mesh.channel("interop"))
    asked, given = pb.StreamingOutputCallRequest(), pb.StreamingInputCallRequest()
    calls: dict[str, Callable[[], Any]] = {
        "UnaryCall": lambda: stub.UnaryCall(pb.SimpleRequest(), timeout=30),
        "StreamingOutputCall": lambda: list(stub.StreamingOutputCall(asked, timeout=30)),
        "StreamingInputCall": lambda: stub.StreamingInputCall(iter([given]), timeout=30),
        "FullDuplexCall": lambda: list(stub.FullDuplexCall(iter([asked]), timeout=30)),
    }
    for call in calls.values():
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert (caught.value.code().name, caught.value.details()) == ("FAILED_PRECONDITION", "set by hand")
        assert metadata_of(caught.value)["x-tried"] == "2"
    wait_until(lambda: len([e for e in mesh.supervisor.journal.entries() if isinstance(e, Span)]) == len(calls))
    entries = mesh.supervisor.journal.entries()
    spans = [(each.name, each.status) for each in entries if isinstance(each, Span)]
    assert spans == [(name, "FAILED_PRECONDITION") for name in calls]
    lines = [each.text for each in entries if isinstance(each, Line)]
    assert [line.rpartition("\n")[2] for line in lines] == ["ValueError: a secret"] * len(calls)


@pytest.mark.parametrize("servicer", KINDS)
def test_a_method_that_nobody_has_written_is_unimplemented_and_no_failure(
    start: Callable[..., Mesh], servicer: Any
) -> None:
    mesh = serving(start, servicer)
    with pytest.raises(grpc.RpcError) as caught:
        pb_grpc.TestServiceStub(mesh.channel("interop")).UnimplementedCall(pb.Empty(), timeout=30)
    assert (caught.value.code().name, caught.value.details()) == ("UNIMPLEMENTED", "Method not implemented!")
    assert [each for each in mesh.supervisor.journal.entries() if isinstance(each, Line)] == []
