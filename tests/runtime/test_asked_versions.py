"""A service is told which versions it asks for and does not get; it runs all the same."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path

from mesh import Http, Service, Supervisor, Topology
from mesh.observing.journal import Line

APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})
"""


def test_a_version_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "requirements.txt").write_text("click<1\n")
    service = Service("old", http=Http(ports=(0,), app="app:app"), root=tmp_path)
    supervisor = Supervisor(Topology("one", service, folder=tmp_path))
    supervisor.start()
    assert supervisor.snapshot["old"].state == "ready"
    patience = time.monotonic() + 60
    while not (told := [entry.text for entry in supervisor.journal.entries() if isinstance(entry, Line)]):
        assert time.monotonic() < patience
    supervisor.stop()
    assert told == [
        f"it requires click<1 ({version('click')} is installed); `mesh install` makes an environment for it"
    ]
