"""Deadlines from none at all to the largest that gRPC's header can write mean the same over HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mesh import Grpc, Http, Service
from mesh.pytest_plugin import Mesh
from tests.serving.grpc.http2_peer import ask
from tests.serving.misbehaving import APP, GET, Misbehaving, MisbehavingAsync

LARGEST = ["99999999H", "99999999M", "99999999S", "99999999m"]


class Mixed(Misbehaving):
    """One coroutine function makes the server an async one, which calls the plain ones in threads."""

    async def DeleteUser(self, request: Any, context: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("kind", [Misbehaving, MisbehavingAsync, Mixed])
def test_the_largest_deadlines_are_taken_by_every_listener(start: Callable[..., Mesh], kind: Any) -> None:
    mesh = start(
        Service("user-service", http=Http(ports=(0,)), grpc=Grpc(0, (kind,), services=("user.UserService",))),
        Service("gateway", http=Http(ports=(0,), app=APP, contracts=("user-service",), prefix="/api/grpc")),
    )
    for text in LARGEST:
        answers = [
            mesh.http(service).get(path, headers={"grpc-timeout": text})
            for service, path in (
                ("gateway", "/well"),
                ("user-service", "/users/100"),
                ("gateway", "/api/grpc/users/100"),
            )
        ]
        assert [each.status_code for each in answers] == [200] * 3, [each.text for each in answers]
        found, message = ask(mesh.address("user-service.grpc"), GET, b"\x08\x64", ("grpc-timeout", text))
        assert (found["grpc-status"], message) == ("0", b"\x08d\x12\x04well")
