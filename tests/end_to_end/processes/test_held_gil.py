"""C code of a service that holds the GIL: named afterwards with its function, and no obstacle to the end of mesh."""

from __future__ import annotations

import re
import textwrap
from signal import SIGABRT, SIGINT, SIGTERM, Signals
from typing import Any

import pytest

from tests.support.programs import Shell, Up, get, in_background

TOML = """
    [services.web]
    http = {port = 0, app = "web:app"}

    [services.neighbour]
    http = {port = 0, app = "web:app"}
"""
#: Each function holds the GIL for seconds, or for ever.
WEB = """
    import ctypes, os, re

    def backtrack(ends):
        re.match(r"(a+)+$", "a" * (26 if ends else 60) + "b")

    def compute(ends):
        7 ** (6_000_000 if ends else 10 ** 9)

    def wait(ends):
        ctypes.PyDLL(None).sleep(2 if ends else 600)

    async def app(scope, receive, send):
        if scope["type"] == "http":
            _, ends, name = scope["path"].split("/")
            os.write(1, b"begins\\n")
            globals()[name](ends == "ends")
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"here"})
"""
#: With the line of each.
FUNCTIONS = {"backtrack": 5, "compute": 8, "wait": 11}


def web(shell: Shell) -> Up:
    shell.write({"mesh.toml": TOML, "web.py": WEB})
    mesh = shell.up()
    mesh.ready()
    return mesh


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_named_with_service_line_and_seconds_although_its_call_has_ended(name: str, shell: Shell) -> None:
    mesh = web(shell)
    assert get(f"{mesh.http('web')}/ends/{name}").text == "here"

    def told() -> Any:
        lines = [each for each in mesh.events() if each["event"] == "line"]
        return next((each for each in lines if "held the GIL for more than" in each["text"]), None)

    line = mesh.wait_for(told)
    assert line["service"] == "web"
    first, _, where = line["text"].partition("\n")
    assert re.fullmatch(r"it held the GIL for more than \d+\.\d s in a C call, while no .* ran; it was at", first)
    assert f'File "{shell.folder}/web.py", line {FUNCTIONS[name]}, in {name}\n' in where


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_stop_waits_for_it_no_longer_than_for_a_call(name: str, number: Signals, shell: Shell) -> None:
    mesh = web(shell)
    with in_background(lambda: get(f"{mesh.http('web')}/for-ever/{name}")):
        mesh.line("begins")
        assert mesh.end(number) == -SIGABRT
    said = "mesh: has not stopped within 6 s, since no Python code can run, as while C code holds the GIL; it is ended"
    assert said in mesh.text()
    where = f"{shell.folder}/web.py"
    assert f'  File "{where}", line {FUNCTIONS[name]} in {name}\n' in mesh.err
    later = shell.up()
    later.ready()
    what = f"Aborted in web at {where}:{FUNCTIONS[name]} ({name})"
    assert later.err == [f"mesh: the last mesh of this project (pid {mesh.pid}) crashed: {what}\n"]


AT_THE_STOP = """
    from mesh import current_service
    current_service().on_stop(lambda: wait(False))
"""


def test_a_service_that_begins_to_hold_it_while_mesh_stops_is_no_obstacle_either(shell: Shell) -> None:
    mesh = web(shell)
    (shell.folder / "web.py").write_text(textwrap.dedent(WEB) + textwrap.dedent(AT_THE_STOP))
    mesh.line("(web.py")
    assert mesh.end(SIGTERM) == -SIGABRT
    assert "mesh: has not stopped within 6 s" in mesh.text()
