"""Each kind of servicer on a port."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh import Grpc, Service
from mesh.pytest_plugin import Mesh


@pytest.fixture(params=["Plain", "Mixed", "Coroutines", "Writing"])
def target(request: pytest.FixtureRequest, start: Callable[..., Mesh]) -> str:
    """`host:port` of the service."""
    from tests.serving.interop import servicers

    servicer = getattr(servicers, request.param)()
    mesh = start(Service("interop", grpc=Grpc(port=0, servicers=(servicer,), services=("grpc.testing.TestService",))))
    return str(mesh.address("interop.grpc"))
