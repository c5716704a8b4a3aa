"""Pools of processes that are started afresh: they find the modules of the service that made them."""

from __future__ import annotations

import os
from signal import SIGINT

import pytest

from tests.support.programs import Shell, ended, get

TOML = """
    [services.first]
    root = "first"
    http = {port = 0, app = "app:app"}

    [services.second]
    root = "second"
    http = {port = 0, app = "app:app"}
"""
MODELS = """
    import os
    from dataclasses import dataclass

    SERVICE = "{}"

    @dataclass
    class Answer:
        service: str
        number: int
        pid: int

    def double(answer):
        return Answer(SERVICE, 2 * answer.number, os.getpid())
"""
#: Both pools run the function, which takes and returns an object of the service's own class.
APP = """
    import json, multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from models import Answer, double

    context = multiprocessing.get_context("{}")
    pools = []

    def app(environ, start_response):
        if not pools:
            pools.extend([ProcessPoolExecutor(1, context), context.Pool(1)])
        executor, pool = pools
        found = [executor.submit(double, Answer("", 21, 0)).result(), pool.apply(double, (Answer("", 4, 0),))]
        start_response("200 OK", [("content-type", "application/json")])
        assert all(type(each) is Answer for each in found)
        return [json.dumps([[each.service, each.number, each.pid] for each in found]).encode()]
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes that are not its children")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_pools_of_new_processes_run_the_services_own_functions_and_end_with_it(method: str, shell: Shell) -> None:
    shell.write({"mesh.toml": TOML})
    for name in ("first", "second"):
        shell.write({f"{name}/models.py": MODELS.format(name), f"{name}/app.py": APP.format(method)})
    mesh = shell.up()
    pids = []
    for name in ("first", "second"):
        (one, two) = get(mesh.http(name)).json()
        assert (one[:2], two[:2]) == ([name, 42], [name, 8])
        pids += [one[2], two[2]]
    assert len({*pids, mesh.pid}) == 5
    assert shell.run("stop", "first").process.returncode == 0
    assert [ended(pid) for pid in pids[:2]] == [True, True]
    assert [each[:2] for each in get(mesh.http("second")).json()] == [["second", 42], ["second", 8]]
    assert mesh.end(SIGINT) == 130
    assert [ended(pid) for pid in pids[2:]] == [True, True]
    assert "Traceback" not in mesh.text()
    assert "copies all services" not in mesh.text()
