"""Calls that are still being answered when the service's grace ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from mesh import Grpc, Http, Service, Supervisor, Topology
from mesh.observing.journal import Line
from mesh.observing.span import Span
from mesh.pytest_plugin import Mesh
from mesh.runtime.messages import ServiceCommand
from mesh.runtime.options import Options
from mesh.topology.selection import renumber
from tests.serving.misbehaving import DESCRIPTORS, GET, Misbehaving, wait_until
from tests.support.raw_calls import unary

STOPPED = "the service stopped before it answered"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Mesh]]:
    running: list[Mesh] = []

    def start(*services: Service) -> Mesh:
        topology = Topology("test", *services, folder=tmp_path, descriptors=[DESCRIPTORS])
        running.append(Mesh(Supervisor(renumber(topology, None, True), options=Options(grace=0.3))))
        running[-1].supervisor.start()
        assert running[-1].supervisor.failures() == []
        return running[-1]

    yield start
    for each in running:
        each.close()


def test_a_call_that_a_stop_cuts_is_unavailable_to_every_caller(
    run: Callable[..., Mesh], servicer: Misbehaving, capfd: pytest.CaptureFixture[str]
) -> None:
    mesh = run(
        Service("user-service", http=Http(ports=(0,)), grpc=Grpc(0, (servicer,), services=("user.UserService",))),
        Service("gateway", http=Http(ports=(0,), contracts=("user-service",), prefix="/api/grpc")),
    )

    def over_grpc() -> tuple[Any, Any]:
        with pytest.raises(grpc.RpcError) as caught:
            unary(mesh.channel("user-service"), GET)(b"\x08\x1b", timeout=60)
        return caught.value.code(), caught.value.details()

    def over_http(service: str, path: str) -> tuple[Any, Any]:
        answer = mesh.http(service).get(path)
        return answer.status_code, answer.json()["message"]

    with ThreadPoolExecutor(3) as pool:
        called = pool.submit(over_grpc)
        answers = [pool.submit(over_http, "user-service", "/users/27")]
        answers += [pool.submit(over_http, "gateway", "/api/grpc/users/27")]
        for _ in range(3):
            assert servicer.hanging.acquire(timeout=30)
        mesh.supervisor.post(ServiceCommand("user-service", "stop"))
        assert called.result(30) == (grpc.StatusCode.UNAVAILABLE, STOPPED)
        assert [answer.result(30) for answer in answers] == [(503, STOPPED)] * 2
    servicer.released.set()
    wait_until(lambda: mesh.supervisor.snapshot["user-service"].state == "stopped", 30)
    wait_until(lambda: not mesh.supervisor.journal.in_flight, 30)
    entries = mesh.supervisor.journal.entries()
    spans = {(each.service, each.protocol, each.status) for each in entries if isinstance(each, Span)}
    assert spans == {
        ("user-service", "grpc", "UNAVAILABLE"),
        ("user-service", "http", "503"),
        ("gateway", "http", "503"),
        ("gateway", "grpc", "UNAVAILABLE"),
    }
    assert [each for each in entries if isinstance(each, Line) and "Traceback" in each.text] == []
    assert "Traceback" not in capfd.readouterr().err
