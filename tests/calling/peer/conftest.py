"""A service `calls`, and a service `caller` whose place the tests take."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh import Grpc, Http, Service, Supervisor, Topology
from mesh.contract.protoc import compile_protos

_out = tempfile.TemporaryDirectory(prefix="calls-")
compile_protos(Path(__file__).parent, Path(_out.name))
sys.path.append(_out.name)

from tests.calling.peer.calls import Caller, Calls  # noqa: E402  # stands on the modules that were just made


async def idle(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("is not called")


@pytest.fixture(scope="session")
def servicer() -> Calls:
    return Calls()


@pytest.fixture(scope="session")
def _running(servicer: Calls) -> Iterator[Supervisor]:
    calls = Service("calls", http=Http((0,)), grpc=Grpc(0, servicers=(servicer,)))
    supervisor = Supervisor(Topology("calls", calls, Service("caller", http=Http((0,), app=idle))))
    supervisor.start()
    assert supervisor.failures() == []
    yield supervisor
    supervisor.stop()


@pytest.fixture
def caller(_running: Supervisor, servicer: Calls) -> Caller:
    """The service that calls; nothing was asked yet."""
    servicer.asked.clear()
    servicer.refusals = 0
    return Caller(_running.context("caller"))


@pytest.fixture(params=["the service's loop", "another loop"])
def run(request: pytest.FixtureRequest, caller: Caller) -> Any:
    """Run a coroutine function where the parameter says."""
    return caller.run if request.param == "the service's loop" else caller.run_elsewhere
