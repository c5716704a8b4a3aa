"""The pytest fixture: the topology in this process, on free ports, with databases in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest

if TYPE_CHECKING:
    import grpc
    import requests

    from mesh.calling.local_tls import Certificate
    from mesh.calling.stub import Stub
    from mesh.observing.journal import Entry
    from mesh.runtime.supervisor import Supervisor
    from mesh.topology.model import Address, Topology

_RUNNING: pytest.StashKey[Mesh | None] = pytest.StashKey()
#: Entries of a test that are kept for its report, the newest.
MAX_ENTRIES = 10_000


class Mesh:
    """A running topology, as a test sees it.

    supervisor: the same as `mesh up` runs.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        #: What happened in the current test.
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._run: Path | None = None
        self._recorded = 0
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
            directory = self.supervisor.directory
            certificate = directory.certificates.get((service, "http"))
            self._sessions[service] = _session(directory.origin(service), certificate)
        return self._sessions[service]

    def stub(self, service: str) -> Stub:
        """Return the methods of the service's contract as attributes, called as those of a generated stub."""
        from mesh.calling.stub import Stub

        return Stub(self.channel(service), self.supervisor.contract(service))

    def channel(self, service: str) -> grpc.Channel:
        """Return a channel to the service's gRPC listener."""
        from mesh.calling.local_tls import channel_to

        if service not in self._channels:
            address = self.address(f"{service}.grpc")
            self._channels[service] = channel_to(address, [("grpc.use_local_subchannel_pool", 1)])
        return self._channels[service]

    def reset(self) -> None:
        """Restore the content that every service had at the start."""
        self.supervisor.reset()

    @contextmanager
    def _test(self) -> Iterator[None]:
        """Note what happens in a test, for its report if it fails."""
        self._entries.clear()
        unsubscribe = self.supervisor.journal.subscribe(self._entries.append)
        try:
            yield
        finally:
            unsubscribe()

    def _report(self) -> str:
        """Return what the services did in the current test, which has failed, after adding it to the recorded run."""
        import sqlite3

        from mesh.errors import MeshError
        from mesh.observing.failure_report import failure_report

        entries = list(self._entries)
        note = "`mesh trace ID -v` shows a request with its payloads"
        try:
            self._record(entries)
        except (MeshError, OSError, sqlite3.Error) as error:
            note = f"not recorded: {error}"
        return failure_report(entries, list(self.supervisor.journal.in_flight.values()), note)

    def _record(self, entries: Sequence[Entry]) -> None:
        """Write the entries into the run of these tests, which begins with the first that fails."""
        from mesh.observing.runs import RunFile, new_run

        self._run = self._run or new_run(self.supervisor.topology.folder)
        file = RunFile(self._run)
        try:
            file.write(list(enumerate(entries, self._recorded + 1)))
        finally:
            file.close()
        self._recorded += len(entries)

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
def _running_mesh(
    request: pytest.FixtureRequest, mesh_topology: Topology, mesh_except: Sequence[str]
) -> Iterator[Mesh]:
    from mesh.compat.pytest import rewrite_one_at_a_time
    from mesh.runtime.options import Options
    from mesh.runtime.supervisor import Supervisor
    from mesh.topology.selection import renumber, select

    rewrite_one_at_a_time()
    # Tests start processes, and gRPC would write lines about each fork (https://github.com/grpc/grpc/issues/43055).
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    declared = renumber(mesh_topology, None, free=True)
    options = Options(grace=declared.grace, redirect_process=True)
    running = Mesh(Supervisor(select(declared, excluded=mesh_except), options))
    running.supervisor.start()
    try:
        if failures := running.supervisor.failures():
            pytest.fail("\n\n".join(failures), pytrace=False)
        request.config.stash[_RUNNING] = running
        yield running
    finally:
        request.config.stash[_RUNNING] = None
        running.close()


@pytest.fixture
def mesh(_running_mesh: Mesh) -> Iterator[Mesh]:
    """Provide the running topology, its content as it was at the start."""
    _running_mesh.reset()
    with _running_mesh._test():
        yield _running_mesh


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Route the output of services, inside of pytest's own capturing, which sets the streams for each test."""
    running = item.config.stash.get(_RUNNING, None)
    with running.supervisor.rerouted_output() if running is not None else nullcontext():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the services did to the report of a test that failed."""
    report = yield
    running = getattr(item, "funcargs", {}).get("mesh")
    if report.failed and isinstance(running, Mesh):
        report.sections.append(("mesh: what the services did", running._report()))
    return report


def _session(base: str, certificate: Certificate | None) -> requests.Session:
    import requests
    from requests.adapters import HTTPAdapter

    class Trusting(HTTPAdapter):
        """Accepts the certificate of the listener, whoever signed it and for whatever name."""

        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            assert certificate is not None
            super().init_poolmanager(*args, ssl_context=certificate.context(), assert_hostname=False, **options)

        def get_connection_with_tls_context(self, request: Any, *args: Any, **options: Any) -> Any:
            # requests before 2.32.5 would replace the context by its own.
            return self.poolmanager.connection_from_url(request.url)

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
            conn.cert_reqs = "CERT_REQUIRED"

    class Session(requests.Session):
        def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
            return super().request(method, urljoin(base, str(url)), *args, **options)

    session = Session()
    if certificate is not None:
        session.mount("https://", Trusting())
    session.trust_env = False  # A proxy in the environment does not apply to this machine.
    return session
