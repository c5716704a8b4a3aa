"""Times of a start: each service's imports are its own, and phases follow one another."""

from __future__ import annotations

from pathlib import Path

from mesh.commands.terminal.timings import timings
from mesh.runtime.start_times import ServiceTimes, StartTimes
from tests.support.supervised import ECHO, Project

FILES = {
    "mesh.toml": """\
        [services.web]
        root = "web"
        http = { port = 5001, app = "app:app" }

        [services.user]
        root = "user"
        http = { port = 5002, app = "app:app" }
        depends_on = ["web"]
        """,
    "web/app.py": "import slow_package.part\n" + ECHO,
    "web/slow_package/__init__.py": "import time\ntime.sleep(0.05)\n",
    "web/slow_package/part.py": "import time\ntime.sleep(0.05)\n",
    "user/app.py": ECHO,
}


def test_imports_are_counted_by_service_and_package_without_what_they_import(tmp_path: Path) -> None:
    project = Project(tmp_path, FILES)
    times = project.supervisor.times
    project.supervisor.journal.subscribe(times)
    with times.observing():
        project.start(settled=True)
    project.close()
    assert list(times.phases) == ["protos", "ports", "set-up"]
    assert set(times.services) == {"web", "user"}
    web, user = times.services["web"], times.services["user"]
    assert "slow_package" not in user.imports
    assert web.imports["slow_package"] >= 100
    assert web.loaded >= 100
    assert web.started >= sum(web.imports.values())  # none is counted twice
    assert user.waited >= web.started


def test_times_are_shown_with_the_longest_first() -> None:
    times = StartTimes()
    times.phases = {"mesh": 100.0, "protos": 20.0, "ports": 1.5, "set-up": 8.5}
    spent = {f"package{number}": float(number) for number in range(9)} | {"sqlalchemy": 120.0}
    times.services = {
        "web": ServiceTimes({}, 0.0, 3.0, 4.5),
        "order-service": ServiceTimes(spent, 40.25, 180.0, 182.5),
    }
    assert timings(times, 400.0) == [
        "where the start went, in ms:",
        "  mesh              100.0  its own imports, the declaration",
        "  protos             20.0  compiled, if they have changed",
        "  ports               1.5  bound",
        "  set-up              8.5  the record, the control API",
        "  services          270.0  until the last is ready or has failed",
        "  order-service     182.5  imports 156.0, start 24.0, readiness 2.5, after waiting 40.2",
        "                             sqlalchemy 120.0, package8 8.0, package7 7.0, package6 6.0, package5 5.0, "
        "package4 4.0, 3 more 6.0",
        "  web                 4.5  imports 0.0, start 3.0, readiness 1.5",
        "",
    ]
