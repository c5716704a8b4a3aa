"""The pytest fixture: the topology in this process, on free ports, with databases in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest

if TYPE_CHECKING:
    import grpc
    import requests

    from mesh.runtime.supervisor import Supervisor
    from mesh.topology.model import Address, Topology


class Mesh:
    """A running topology, as a test sees it.

    supervisor: the same as `mesh up` runs.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self._sessions: dict[str, requests.Session] = {}
        self._channels: dict[str, grpc.Channel] = {}

    def address(self, listener: str) -> Address:
        """Return the address of `user-service.grpc` or `user-service.http`; raises UsageError for any other name."""
        from mesh.errors import UsageError

        service, _, kind = listener.rpartition(".")
        if kind not in ("http", "grpc"):
            raise UsageError(f"{listener!r} is not a listener; write service.http or service.grpc")
        return self.supervisor.directory.address(service, "http" if kind == "http" else "grpc")

    def http(self, service: str) -> requests.Session:
        """Return a session whose URLs are relative to the service: `mesh.http("gateway").get("/api/users")`."""
        if service not in self._sessions:
            self._sessions[service] = _session(f"http://{self.address(f'{service}.http')}")
        return self._sessions[service]

    def stub(self, service: str) -> Any:
        """Return the methods of the service's contract as attributes, called as those of a generated stub."""
        from mesh.calling.stub import Stub

        return Stub(self.channel(service), self.supervisor.contract(service))

    def channel(self, service: str) -> grpc.Channel:
        """Return a channel to the service's gRPC listener."""
        import grpc

        if service not in self._channels:
            options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
            self._channels[service] = grpc.insecure_channel(str(self.address(f"{service}.grpc")), options)
        return self._channels[service]

    def reset(self) -> None:
        """Restore the content that every service had at the start."""
        self.supervisor.reset()

    def close(self) -> None:
        """Close the channels and sessions to the services, and stop them."""
        for session in self._sessions.values():
            session.close()
        for channel in self._channels.values():
            channel.close()
        self.supervisor.stop()


@pytest.fixture(scope="session")
def mesh_topology(request: pytest.FixtureRequest) -> Topology:
    """Return the topology that `mesh` runs: the project's, else the store. Override it to run something else."""
    from mesh.store.topology import store
    from mesh.topology.loading import load

    return load(None, request.config.rootpath, store)


@pytest.fixture(scope="session")
def mesh_except() -> Sequence[str]:
    """Return names of services and listeners that the `mesh` fixture leaves out, as `mesh up --except` does."""
    return ()


@pytest.fixture(scope="session")
def _running_mesh(mesh_topology: Topology, mesh_except: Sequence[str]) -> Iterator[Mesh]:
    from mesh.runtime.options import Options
    from mesh.runtime.supervisor import Supervisor
    from mesh.topology.selection import renumber, select

    declared = renumber(mesh_topology, None, free=True)
    running = Mesh(Supervisor(select(declared, excluded=mesh_except), Options(redirect_process=True)))
    running.supervisor.start()
    try:
        if failures := running.supervisor.failures():
            pytest.fail("\n\n".join(failures), pytrace=False)
        yield running
    finally:
        running.close()


@pytest.fixture
def mesh(_running_mesh: Mesh) -> Mesh:
    """Provide the running topology, its content as it was at the start."""
    _running_mesh.reset()
    return _running_mesh


def _session(base: str) -> requests.Session:
    import requests

    class Session(requests.Session):
        def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
            return super().request(method, urljoin(base, str(url)), *args, **options)

    session = Session()
    session.trust_env = False  # A proxy in the environment does not apply to this machine.
    return session
