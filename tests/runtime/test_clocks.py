"""A wall clock that jumps changes nothing: deadlines, pauses and reloads go by the monotonic one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import requests

from mesh import Http, Service, Supervisor, Topology
from mesh.runtime.messages import Changed
from mesh.runtime.restart_policy import RestartPolicy

APP = """
async def app(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"{0}"}})
"""


@pytest.mark.parametrize("hours", [1, -1])
def test_a_jump_of_an_hour_lets_a_service_answer_and_reload_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    file = tmp_path / "app.py"
    file.write_text(APP.format("old"))
    service = Service("one", http=Http(ports=(0,), app="app:app"), root=tmp_path)
    supervisor = Supervisor(Topology("one", service, folder=tmp_path))
    supervisor.start()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
    url = f"http://{supervisor.directory.address('one', 'http')}"
    try:
        assert requests.get(url, headers={"grpc-timeout": "5S"}, timeout=10).text == "old"
        file.write_text(APP.format("newer"))
        supervisor.post(Changed(frozenset({file.resolve()})))
        patience = time.monotonic() + 60
        while requests.get(url, timeout=10).text != "newer":
            assert time.monotonic() < patience
    finally:
        stopping = threading.Thread(target=supervisor.stop, daemon=True)
        stopping.start()
        stopping.join(60)
    assert not stopping.is_alive()


def test_pauses_between_tries_are_counted_on_the_clock_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    retries = RestartPolicy()
    assert retries.failed("one", 100.0) == 1.0
    assert (retries.taken(100.9), retries.taken(101.0)) == ([], ["one"])
