"""Ends of the whole process that a service causes: named before they happen, or by the next start."""

from __future__ import annotations

import re
import signal
import stat
from datetime import date
from signal import SIGABRT, SIGINT, SIGKILL, SIGSEGV, SIGTERM

import pytest
import requests

from tests.support.programs import Shell, Up, get

TOML = """
    [services.web]
    http = {{port = 0, app = "web:app"}}
    isolation = "{}"

    [services.other]
    http = {{port = 0, app = "web:app"}}
"""
WEB = """
    import asyncio, ctypes, os, signal

    def leave():
        os._exit(5)

    def abort():
        os.abort()

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def segfault():
        ctypes.string_at(0)

    async def app(scope, receive, send):
        match scope.get("path"):
            case None:
                return
            case "/exit":
                leave()
            case "/abort":
                await asyncio.to_thread(abort)
            case "/kill":
                kill()
            case "/segfault":
                await asyncio.to_thread(segfault)
            case "/segfault-in-loop":
                segfault()
            case "/segfault-in-child":
                child = os.fork()
                if child == 0:
                    segfault()
                os.waitpid(child, 0)
            case "/exit-after-much-output":
                for number in range(5000):
                    print(number)
                leave()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})
"""
#: By path, the exit status, the line that mesh prints before, and what the next start says.
ENDS = {
    "/exit": (5, "os._exit(5) was called at {}/web.py:5; it ends the whole process, every service with it"),
    "/abort": (-SIGABRT, "os.abort() was called at {}/web.py:8; it ends the whole process, every service with it"),
    "/kill": (-SIGKILL, "SIGKILL was sent at {}/web.py:11; it ends the whole process, every service with it"),
}
CRASHES = ("/segfault", "/segfault-in-loop")


def web(shell: Shell, isolation: str = "thread", toml: str = TOML) -> Up:
    shell.write({"mesh.toml": toml.format(isolation), "web.py": WEB})
    mesh = shell.up()
    mesh.ready()
    return mesh


def end_by(mesh: Up, path: str) -> int:
    with pytest.raises(requests.ConnectionError):
        get(mesh.http("web") + path)
    return int(mesh.end())


def next_start(shell: Shell) -> list[str]:
    """Return what the next start says of the last one, and no later one does."""
    meshes = []
    for _ in range(2):
        meshes.append(shell.up())
        meshes[-1].ready()
        assert meshes[-1].end(SIGTERM) == 143
    assert meshes[1].err == []
    assert list((shell.folder / ".mesh" / "run").glob("*.crash")) == []
    return meshes[0].err


@pytest.mark.parametrize("path", ENDS)
def test_who_ends_the_process_is_named_before_and_by_the_next_start(path: str, shell: Shell) -> None:
    mesh = web(shell)
    status, text = ENDS[path]
    assert end_by(mesh, path) == status
    said = text.format(shell.folder)
    mesh.event("line", service="web", stream="mesh", text=said)
    assert next_start(shell) == [f"mesh: the last mesh of this project (pid {mesh.pid}) was ended by web: {said}\n"]


def test_what_waits_to_be_printed_is_printed_before_the_process_ends(shell: Shell) -> None:
    mesh = web(shell)
    assert end_by(mesh, "/exit-after-much-output") == 5
    lines = [each for each in mesh.events() if each["event"] == "line" and each["service"] == "web"]
    assert [line["text"] for line in lines if line["stream"] == "stdout"] == [str(number) for number in range(5000)]
    assert ENDS["/exit"][1].format(shell.folder) in [line["text"] for line in lines]


@pytest.mark.parametrize("path", CRASHES)
def test_a_crash_in_c_code_is_shown_and_told_by_the_next_start_with_the_service(path: str, shell: Shell) -> None:
    mesh = web(shell)
    (note,) = (shell.folder / ".mesh" / "run").glob("*.crash")
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert end_by(mesh, path) == -SIGSEGV
    assert "Fatal Python error: Segmentation fault\n" in mesh.err
    what = f"Segmentation fault in web at {shell.folder}/web.py:14 (segfault)"
    assert next_start(shell) == [f"mesh: the last mesh of this project (pid {mesh.pid}) crashed: {what}\n"]


def test_a_service_that_has_crashed_runs_in_a_process_until_its_table_says_where(shell: Shell) -> None:
    undecided = TOML.replace('isolation = "{}"', "")
    mesh = web(shell, toml=undecided)
    assert end_by(mesh, "/segfault") == -SIGSEGV
    for _ in range(2):
        mesh = shell.up()
        mesh.ready()
        mesh.event("line", service="web", stream="mesh", text=said_of_a_crash())
        assert get(mesh.http("web")).text == "here"
        with pytest.raises(requests.ConnectionError):
            get(mesh.http("web") + "/segfault")
        assert get(mesh.http("other")).text == "here"
        mesh.end(SIGTERM)
    kept = shell.folder / ".mesh" / "crashed.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    mesh = web(shell, "thread")
    assert not kept.exists()
    assert end_by(mesh, "/segfault") == -SIGSEGV
    mesh = web(shell, toml=undecided)
    mesh.event("line", service="web", stream="mesh", text=said_of_a_crash())
    mesh.end(SIGTERM)


def said_of_a_crash() -> str:
    return (
        f"its native code crashed the process on {date.today().isoformat()}, so it runs in one of its own; "
        'isolation = "thread" in its table overrules that'
    )


def test_a_mesh_that_was_killed_is_told_as_such(shell: Shell) -> None:
    """Happens also if a child of a service has crashed before."""
    mesh = web(shell)
    assert get(mesh.http("web") + "/segfault-in-child").text == "here"
    mesh.line("Fatal Python error: Segmentation fault")
    assert mesh.end(SIGKILL) == -SIGKILL
    assert next_start(shell) == [
        f"mesh: the last mesh of this project (pid {mesh.pid}) was killed (kill -9, out of memory, or the machine went "
        "down)\n"
    ]


def test_a_copy_that_runs_is_not_taken_for_one_that_was_killed(shell: Shell) -> None:
    first = web(shell)
    second = shell.up("--free-ports")
    second.ready()
    for mesh in (first, second):
        assert mesh.end(SIGTERM) == 143
        assert mesh.err == []


def test_an_end_by_a_second_ctrl_c_leaves_nothing_to_tell(shell: Shell) -> None:
    waiting = """
        async def app(scope, receive, send):
            if scope["type"] == "http":
                print("began")
                await receive()
                await receive()
    """
    shell.write({"mesh.toml": TOML.format("thread"), "web.py": waiting})
    mesh = shell.up()
    with requests.Session() as session, pytest.raises(requests.ReadTimeout):
        session.get(mesh.http("web"), timeout=0.5)
    mesh.send(SIGINT)
    mesh.event("change", service="mesh", state="stopping")
    assert mesh.end(SIGINT) == 130
    assert list((shell.folder / ".mesh" / "run").glob("*.crash")) == []


@pytest.mark.parametrize("path", [*ENDS, *CRASHES])
def test_the_end_of_a_services_own_process_is_told_with_its_cause(path: str, shell: Shell) -> None:
    mesh = web(shell, "process")
    with pytest.raises(requests.ConnectionError):
        get(mesh.http("web") + path)
    failed = mesh.event("change", service="web", state="failed")
    if path in ENDS:
        status, text = ENDS[path]
        cause = text.format(shell.folder).replace("the whole process, every service with it", "its process")
    else:
        status, cause = -SIGSEGV, f"Segmentation fault in web at {shell.folder}/web.py:14 (segfault)"
    how = f"ended with status {status}" if status > 0 else f"was ended by {signal.Signals(-status).name}"
    assert re.sub(r"; retrying in .*", "", failed["reason"]) == f"its process {how}: {cause}"
    assert get(mesh.http("other")).text == "here"
    assert mesh.end(SIGTERM) == 1  # a service has failed
