"""Services that fork: what the child keeps of mesh, what it says, and how it ends."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

from tests.support.programs import Shell, Up, ended, get

LINUX = Path("/proc/net/tcp").exists()

FORKING = """
    import asyncio, json, os, sys, time

    def leave():
        sys.exit(7)

    async def child(path):
        match path:
            case "/exit":
                leave()
            case "/text":
                sys.exit("no such luck")
            case "/raise":
                raise LookupError("in the child")
            case "/caught":
                try:
                    leave()
                except SystemExit:
                    print("caught")
            case "/await":
                await asyncio.sleep(0)
                print("never")
            case "/stay":
                print("stays")
                while True:
                    time.sleep(1)

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        pid = os.fork()
        if pid == 0:
            await child(scope["path"])
            body = "from the child"
        elif scope["path"] == "/stay":
            body = json.dumps([pid])
        else:
            body = json.dumps([pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body.encode()})
"""
TOML = """
    [services.{0}]
    http = {{port = 0, app = "{0}:app"}}
"""


def said(mesh: Up, text: str) -> list[str]:
    return [line for each in mesh.events() if text in (line := each.get("text", ""))]


def forking(shell: Shell) -> Up:
    shell.write({"mesh.toml": TOML.format("forking"), "forking.py": FORKING})
    return shell.up()


#: Paths of FORKING, each with the status of its child and a line that the child leaves.
CHILDREN = {
    "/exit": (7, ""),
    "/text": (1, "no such luck"),
    "/raise": (1, "LookupError: in the child"),
    "/caught": (0, "caught"),
    "/await": (0, ""),
    "/return": (0, ""),
}


def test_a_child_ends_where_it_would_become_a_second_mesh(shell: Shell) -> None:
    mesh = forking(shell)
    for path, (status, line) in CHILDREN.items():
        answer = get(mesh.http("forking") + path)
        assert (path, answer.json()[1]) == (path, status)
        assert mesh.wait_for(partial(said, mesh, line))
    assert mesh.end(SIGTERM) == 143
    (named,) = said(mesh, "copies all services of this process")
    assert named.startswith(f"a fork at {shell.folder}/forking.py:31 copies ")
    assert said(mesh, "never") == []


@pytest.mark.skipif(not LINUX, reason="which files a process has open is read from /proc")
def test_a_child_that_stays_holds_no_socket_of_mesh_and_ends_with_it_however_that_ends(shell: Shell) -> None:
    mesh = forking(shell)
    (pid,) = get(f"{mesh.http('forking')}/stay").json()
    mesh.event("line", text="stays")
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows}
    links = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
    assert links & inodes == set()
    mesh.end(SIGKILL)
    assert ended(pid)


POOLED = """
    import json, multiprocessing, os, time
    from concurrent.futures import ProcessPoolExecutor

    def double(number):
        print("doubling", number)
        return 2 * number, os.getpid()

    fork = multiprocessing.get_context("fork")
    executor = ProcessPoolExecutor(2, fork)
    pool = fork.Pool(2)

    def app(environ, start_response):
        start_response("200 OK", [("content-type", "text/plain")])
        if environ["PATH_INFO"] == "/terminate":
            process = fork.Process(target=time.sleep, args=(1000,))
            process.start()
            process.terminate()
            process.join()
            answer = process.exitcode
        else:
            answer = [executor.submit(double, 21).result(), pool.apply(double, (4,))]
        return [json.dumps(answer).encode()]
"""


@pytest.mark.skipif(not LINUX, reason="waits for a process that is not its child")
@pytest.mark.parametrize("stop", [True, False])
def test_forked_pools_work_and_end_with_their_service(shell: Shell, stop: bool) -> None:
    shell.write(
        {"mesh.toml": TOML.format("pooled") + TOML.format("forking"), "pooled.py": POOLED, "forking.py": FORKING}
    )
    mesh = shell.up()
    url = mesh.http("pooled")
    (first, executing), (second, pooling) = get(url).json()
    assert (first, second) == (42, 8)
    for number in (21, 4):
        assert mesh.event("line", text=f"doubling {number}")["service"] == "pooled"
    assert get(f"{url}/terminate").json() == -SIGTERM
    if stop:
        assert shell.run("stop", "pooled").process.returncode == 0
        assert [ended(pid) for pid in (executing, pooling)] == [True, True]
        assert get(f"{mesh.http('forking')}/exit").json()[1] == 7
    assert mesh.end(SIGINT) == 130
    assert [ended(pid) for pid in (executing, pooling)] == [True, True]
    assert "did not end within" not in mesh.text()
    assert "Traceback" not in mesh.text()


def test_what_a_library_leaves_for_the_end_does_not_keep_mesh_for_ever(shell: Shell) -> None:
    left = "import atexit, threading\natexit.register(threading.Event().wait)"
    shell.write({"library/sitecustomize.py": left, "mesh.toml": TOML.format("forking"), "forking.py": FORKING})
    mesh = shell.up(env={"PYTHONPATH": str(shell.folder / "library")})
    mesh.ready()
    assert mesh.end(SIGTERM) == 143
    assert "mesh: what a library registered with atexit did not end within 1 s:" in mesh.text()
