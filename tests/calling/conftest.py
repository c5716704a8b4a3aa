"""The order service by itself, its user service wherever the test says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mesh import Supervisor
from mesh.pytest_plugin import Mesh
from mesh.store.topology import store
from mesh.topology.selection import renumber, select
from tests.calling.orders import Orders, Start


@pytest.fixture
def orders(mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """`orders(user_grpc="host:port", user_http="host:port")` runs it; what is not given is the real one's."""
    with ExitStack() as closed:

        def start(**elsewhere: str) -> Orders:
            for service in ("user-service", "product-service"):
                for kind in ("grpc", "http"):
                    address = elsewhere.pop(f"{service.split('-')[0]}_{kind}", str(mesh.address(f"{service}.{kind}")))
                    monkeypatch.setenv(f"MESH_{service.upper().replace('-', '_')}_{kind.upper()}", address)
            assert not elsewhere
            declared = renumber(store(tmp_path), None, True)
            supervisor = Supervisor(select(declared, ["order-service"]))
            supervisor.start()
            return closed.enter_context(closing(Orders(supervisor)))

        yield start
