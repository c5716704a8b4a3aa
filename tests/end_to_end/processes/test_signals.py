"""The end of a mesh: asked once, asked twice, killed, suspended, and with a handler that does not end."""

from __future__ import annotations

import json
import signal
import sqlite3
import textwrap
import time
from pathlib import Path
from signal import SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGTERM
from threading import Event
from typing import Any

import pytest
import requests

from tests.support.programs import MESH, Shell, Up, get, in_background, suspend

ORDER = {"user_id": 1, "product_id": 1, "quantity": 2}

#: Answers `/` at once and anything else when the file `go` exists in its folder.
PATIENT = """
    import asyncio, pathlib

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        if scope["path"] != "/":
            print("began", scope["path"])
            while not pathlib.Path(__file__).with_name("go").exists():
                await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
"""
PATIENT_TOML = '[services.patient]\nhttp = {port = 0, app = "patient:app"}'

WORKER_TOML = '[services.worker]\ngrpc = {port = 0, servicers = ["worker:Users"]}'
WORKER = """
    import threading
    from mesh.store.pb import user_pb2_grpc

    class Users(user_pb2_grpc.UserServiceServicer):
        def GetUser(self, request, context):
            print("began")
            self.wait_for_godot()

        def wait_for_godot(self):
            threading.Event().wait()
"""


def patient(shell: Shell) -> Up:
    shell.write({"mesh.toml": PATIENT_TOML, "patient.py": PATIENT})
    return shell.up()


def refused(url: str) -> bool:
    try:
        get(url)
    except requests.ConnectionError:
        return True
    return False


def test_what_a_library_has_left_for_the_end_of_the_process_is_done(shell: Shell) -> None:
    left = "import atexit, pathlib\natexit.register(pathlib.Path(__file__).with_name('done').touch)"
    shell.write({"library/sitecustomize.py": left, "mesh.toml": PATIENT_TOML, "patient.py": PATIENT})
    mesh = shell.up(env={"PYTHONPATH": str(shell.folder / "library")})
    mesh.ready()
    assert mesh.end(SIGTERM) == 143
    assert (shell.folder / "library/done").exists()


def order(mesh: Up) -> int:
    answer = requests.post(f"{mesh.http('order-service')}/orders", json=ORDER, timeout=30)
    assert answer.status_code == 201
    return int(answer.json()["id"])


def test_calls_in_flight_have_as_long_as_the_declaration_says(shell: Shell) -> None:
    shell.write({"mesh.toml": f"[mesh]\ngrace = 0.2\n{textwrap.dedent(PATIENT_TOML)}", "patient.py": PATIENT})
    mesh = shell.up()
    with in_background(lambda: get(f"{mesh.http('patient')}/slow")) as answers:
        mesh.event("line", service="patient", text="began /slow")
        assert mesh.end(SIGTERM) == 143
    assert [answer.status_code for answer in answers] == [503]
    assert "GET /slow did not end within 0.2 s" in mesh.text()


@pytest.mark.parametrize(("number", "status"), [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 143)])
def test_a_signal_closes_the_listeners_and_lets_a_call_in_flight_end(
    shell: Shell, number: signal.Signals, status: int
) -> None:
    mesh = patient(shell)
    url = mesh.http("patient")
    with in_background(lambda: get(f"{url}/slow").text) as answer:
        mesh.event("line", text="began /slow")
        mesh.send(number)
        mesh.event("change", service="patient", state="stopping")
        while not refused(url):
            pass
        assert answer == []
        (shell.folder / "go").touch()
        assert mesh.end() == status
    assert answer == ["done"]
    assert list((shell.folder / ".mesh" / "run").iterdir()) == []


def test_a_mesh_ends_at_sigint_and_lives_through_the_hang_up_that_its_parent_ignores(shell: Shell) -> None:
    """Simulates `nohup mesh up &` in a script: its shell ignores SIGINT as well."""
    shell.write({"mesh.toml": PATIENT_TOML, "patient.py": PATIENT})
    ignoring = ["/bin/sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh", *MESH, "up", "--json"]
    mesh = Up(ignoring, shell.folder, shell.env)
    shell.programs.append(mesh)
    url = mesh.http("patient")
    mesh.send(SIGHUP)
    assert get(url).text == "done"
    assert mesh.end(SIGINT) == 130
    mesh.event("change", service="mesh", state="stopped")  # Had it heard the first, the second would have cut this off.


def test_a_second_ctrl_c_ends_at_once_and_leaves_the_orders_whole(shell: Shell) -> None:
    shell.write({"patient.py": PATIENT, "mesh.toml": PATIENT_TOML})
    store = shell.up("mesh.store.topology:store", "--free-ports")
    made = order(store)
    mesh = shell.up()
    with in_background(lambda: get(f"{mesh.http('patient')}/slow")):
        mesh.event("line", text="began /slow")
        mesh.send(SIGINT)
        mesh.event("change", service="mesh", state="stopping")
        assert mesh.end(SIGINT) == 130
    assert "did not end within" not in mesh.text()  # as it would after the 5 s of a call in flight
    assert store.end(SIGINT) == 130
    assert made in orders_kept(shell.folder)


def orders_kept(folder: Path) -> list[int]:
    connection = sqlite3.connect(folder / ".mesh" / "data" / "order-service.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT id FROM orders ORDER BY id")]
    finally:
        connection.close()


def test_a_signal_during_the_start_ends_it(shell: Shell) -> None:
    mesh = shell.up("--free-ports", "--memory")
    mesh.event("change", service="mesh", state="starting")
    assert mesh.end(SIGTERM) == 143
    assert "did not end within" not in mesh.text()  # it waits for nothing that was never asked
    assert "Traceback" not in mesh.text()


ENDLESS = {
    "mesh.toml": WORKER_TOML
    + """
        [services.blocker]
        http = {port = 0, app = "blocker:app"}
        [services.awaiter]
        http = {port = 0, app = "awaiter:app"}
    """,
    "worker.py": WORKER,
    "blocker.py": """
        import threading

        async def app(scope, receive, send):
            if scope["type"] == "http":
                print("began")
                threading.Event().wait()  # blocks
    """,
    "awaiter.py": """
        import asyncio

        async def never():
            await asyncio.Event().wait()  # awaits

        async def app(scope, receive, send):
            if scope["type"] == "http":
                print("began")
                await never()
    """,
}


def test_handlers_that_never_end_are_named_with_their_stacks(shell: Shell) -> None:
    """One blocks a gRPC worker, one the loop of its service, one awaits what never comes."""
    shell.write(ENDLESS)
    mesh = shell.up()
    call = shell.start("call", mesh.grpc("worker"), "GetUser", "--timeout", "60")
    with in_background(lambda: get(mesh.http("blocker"))), in_background(lambda: get(mesh.http("awaiter"))):
        for name in ("worker", "blocker", "awaiter"):
            mesh.event("line", service=name, text="began")
        asked = time.monotonic()
        assert mesh.end(SIGINT) == 130
        assert time.monotonic() - asked > 4.5
        call.close()
    text = {line["service"]: line["text"] for line in mesh.events() if "did not end" in line.get("text", "")}
    assert text["worker"].startswith("GetUser did not end within 5 s; it is at\n")
    assert "worker.py" in text["worker"]
    assert "wait_for_godot" in text["worker"]
    assert "# blocks" in text["blocker"]
    assert text["awaiter"].startswith("GET / did not end within 5 s; it is at\n")
    assert "# awaits" in text["awaiter"]
    assert "mesh/serving" not in "".join(text.values())


def test_a_stop_is_heard_while_c_code_holds_the_interpreter_and_done_when_it_lets_go(shell: Shell) -> None:
    shell.write(
        {
            "mesh.toml": """
                [services.web]
                http = {port = 0, app = "web:app"}
            """,
            "web.py": """
                import threading, time
                from itertools import takewhile

                import flask

                app = flask.Flask("web")

                @app.get("/")
                def index():
                    print("began", flush=True)
                    end = time.monotonic() + 2
                    sum(takewhile(end.__gt__, iter(time.monotonic, None)))
                    threading.Event().wait(1)  # for long enough to be seen here
                    return "done"
            """,
        }
    )
    mesh = shell.up()
    with in_background(lambda: get(mesh.http("web"))) as answers:
        mesh.event("line", service="web", text="began")
        assert mesh.end(SIGTERM) == 143
    assert [answer.text for answer in answers] == ["done"]
    said = [each["text"] for each in mesh.events() if each.get("text", "").startswith("it held the GIL for more than")]
    assert len(said) == 1
    assert " s in a C call, while no other Python code ran" in said[0]
    assert "in index" in said[0]


def test_a_worker_that_never_ends_does_not_keep_the_process(shell: Shell) -> None:
    """Its call is cancelled and its service stopped, but no thread can be: the interpreter would wait for it."""
    shell.write({"mesh.toml": WORKER_TOML, "worker.py": WORKER})
    mesh = shell.up()
    shell.start("call", mesh.grpc("worker"), "GetUser", "--timeout", "60")
    mesh.event("line", service="worker", text="began")
    assert mesh.end(SIGTERM) == 143
    assert len([line for line in mesh.events() if "GetUser did not end within 5 s" in line.get("text", "")]) == 1


def test_a_killed_mesh_starts_again_on_its_ports_with_what_it_had_answered(shell: Shell) -> None:
    shell.write({"mesh.toml": ""})
    (shell.folder / "mesh.toml").unlink()
    first = shell.up("--free-ports")
    port = first.http("order-service").rpartition(":")[2]
    made = order(first)
    first.end(SIGKILL)
    assert len(list((shell.folder / ".mesh" / "run").glob("*.json"))) == 1
    ps = shell.run("ps")
    assert (ps.process.returncode, ps.err) == (
        1,
        ["mesh: no mesh of this project is running; start it with `mesh up`\n"],
    )
    second = shell.up("--free-ports", "--only", "order-service")
    assert get(f"{second.http('order-service')}/orders/{made}").status_code == 200
    assert port
    assert second.end(SIGTERM) == 143


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_order_that_was_answered_survives_a_kill_in_the_midst_of_writing(shell: Shell, attempt: int) -> None:
    mesh = shell.up("--free-ports", "--quiet")
    url = f"{mesh.http('order-service')}/orders"
    answered: list[int] = []
    enough = Event()

    def write() -> None:
        with requests.Session() as session:
            while True:
                answer = session.post(url, json=ORDER, timeout=30)
                if answer.status_code == 201:
                    answered.append(answer.json()["id"])
                if len(answered) == 10 * attempt:
                    enough.set()

    with in_background(write), in_background(write):
        assert enough.wait(30)
        mesh.end(SIGKILL)
    kept = orders_kept(shell.folder)
    assert set(answered) <= set(kept)
    assert kept == list(range(1, len(kept) + 1))


def test_a_suspended_mesh_is_still_there_when_it_wakes(shell: Shell) -> None:
    mesh = patient(shell)
    mesh.ready()
    suspend(mesh.pid)
    asleep = shell.run("ps")
    assert asleep.process.returncode == 1
    assert f"mesh: the mesh with pid {mesh.pid} " in asleep.text()
    assert "does not answer; if it is suspended, resume it with `fg`" in asleep.text()
    mesh.send(SIGCONT)
    awake: list[dict[str, Any]] = json.loads("".join(shell.run("ps", "--json").out))
    assert [each["pid"] for each in awake] == [mesh.pid]
    assert get(mesh.http("patient")).text == "done"
    assert mesh.end(SIGTERM) == 143
    assert not [each for each in mesh.events() if each.get("state") == "failed"]
