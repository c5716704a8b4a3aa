"""Runs what a test declares, on free ports."""

from __future__ import annotations

import atexit
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh import Grpc, Http, Service, Supervisor, Topology
from mesh.contract.protoc import compile_protos
from mesh.pytest_plugin import Mesh
from mesh.topology.selection import renumber
from tests.serving.misbehaving import APP, DESCRIPTORS, Misbehaving, MisbehavingAsync

_stubs = tempfile.TemporaryDirectory(prefix="stubs-")
compile_protos(Path(__file__).parent / "protos", Path(_stubs.name))
sys.path.append(_stubs.name)
atexit.register(_stubs.cleanup)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Mesh]]:
    """`start(service, ...)` runs them on free ports, and stops them after the test."""
    running: list[Mesh] = []

    def run(*services: Service) -> Mesh:
        topology = Topology("test", *services, folder=tmp_path, descriptors=[DESCRIPTORS])
        running.append(Mesh(Supervisor(renumber(topology, None, True))))
        running[-1].supervisor.start()
        assert running[-1].supervisor.failures() == []
        return running[-1]

    yield run
    for each in running:
        each.close()


@pytest.fixture(params=[Misbehaving, MisbehavingAsync], ids=["sync", "async"])
def servicer(request: pytest.FixtureRequest) -> Iterator[Misbehaving]:
    made: Misbehaving = request.param()
    yield made
    made.released.set()


@pytest.fixture
def bad(start: Callable[..., Mesh], servicer: Misbehaving) -> Mesh:
    """`user-service` with the misbehaving servicer, `web` with the misbehaving app, `gateway` before both."""
    grpc = Grpc(port=0, servicers=(servicer,), services=("user.UserService",))
    return start(
        Service("user-service", http=Http(ports=(0,)), grpc=grpc),
        Service("web", http=Http(ports=(0,), app=APP)),
        Service("gateway", http=Http(ports=(0,), app=APP, contracts=("user-service",), prefix="/api/grpc")),
    )
