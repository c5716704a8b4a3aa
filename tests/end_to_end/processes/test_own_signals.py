"""Signals of services in a mesh that runs: sent by one to itself, and from outside."""

from __future__ import annotations

import signal
from pathlib import Path
from signal import SIGTERM, SIGUSR1, SIGUSR2

import pytest

from tests.support.programs import Shell, Up, get

TOML = """
    [services.sender]
    http = {{port = 0, app = "sender:app"}}
    isolation = "{}"

    [services.other]
    http = {{port = 0, app = "other:app"}}
"""
OTHER = """
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"here"})
"""
SENDER = """
    import _thread, asyncio, os, signal
    from fastapi import FastAPI

    app = FastAPI()

    def told(number, frame):
        print("told", signal.Signals(number).name)

    def stopped(number, frame):
        print("stopped in its own way")

    signal.signal(signal.SIGUSR1, told)
    signal.signal(signal.SIGALRM, told)
    signal.signal(signal.SIGTERM, stopped)

    @app.get("/raise/{number}")
    def raise_signal(number: int):  # in a thread of a pool
        signal.raise_signal(number)

    @app.get("/kill/{number}")
    async def kill(number: int):
        os.kill(os.getpid(), number)

    @app.get("/alarm")
    async def alarm():
        signal.alarm(1)

    @app.get("/interrupt")
    async def interrupt():
        _thread.interrupt_main()
"""


@pytest.fixture(params=["thread", "process"])
def mesh(request: pytest.FixtureRequest, shell: Shell) -> Up:
    shell.write({"mesh.toml": TOML.format(request.param), "sender.py": SENDER, "other.py": OTHER})
    return shell.up()


def stopped(mesh: Up) -> None:
    """Wait for the end of the sender; the other service goes on, and mesh ends as it is told to."""
    mesh.event("change", service="sender", state="stopped")
    assert get(mesh.http("other")).text == "here"
    assert mesh.end(SIGTERM) == 143
    assert [each for each in mesh.events() if each.get("state") == "failed"] == []
    assert "Traceback" not in mesh.text()


def test_a_service_handles_what_it_sends_itself_and_stops_alone(mesh: Up) -> None:
    url = mesh.http("sender")
    assert get(f"{url}/raise/{SIGUSR1.value}").status_code == 200
    mesh.event("line", service="sender", text="told SIGUSR1")
    assert get(f"{url}/alarm").status_code == 200
    mesh.event("line", service="sender", text="told SIGALRM")
    get(f"{url}/kill/{SIGUSR2.value}")
    mesh.line("SIGUSR2, sent at ")
    get(f"{url}/kill/{SIGTERM.value}")
    mesh.event("line", service="sender", text="stopped in its own way")
    stopped(mesh)
    ignored = next(line for each in mesh.events() if "SIGUSR2" in (line := each.get("text", "")))
    assert ignored.endswith("sender.py:23, was ignored: the service has no handler for it")


def test_an_interrupt_of_the_main_thread_stops_the_service_that_asks_for_it(mesh: Up) -> None:
    get(f"{mesh.http('sender')}/interrupt")
    stopped(mesh)
    assert mesh.line(", stops this service only")


@pytest.mark.parametrize("number", [SIGUSR1, SIGUSR2])
def test_a_signal_from_outside_reaches_the_service_with_a_handler_for_it(shell: Shell, number: signal.Signals) -> None:
    shell.write({"mesh.toml": TOML.format("thread"), "sender.py": SENDER, "other.py": OTHER})
    mesh = shell.up()
    mesh.ready()
    mesh.send(number)
    if number == SIGUSR1:
        mesh.event("line", service="sender", text="told SIGUSR1")
    else:
        mesh.event("line", service="mesh", text="SIGUSR2 was ignored: no service has a handler for it")
    assert get(mesh.http("sender") + "/alarm").status_code == 200
    assert mesh.end(SIGTERM) == 143


def test_a_service_that_was_stopped_by_its_own_signal_starts_again(mesh: Up, shell: Shell, tmp_path: Path) -> None:
    get(f"{mesh.http('sender')}/kill/{SIGTERM.value}")
    mesh.event("change", service="sender", state="stopped")
    assert shell.run("start", "sender").process.returncode == 0
    assert get(f"{mesh.http('sender')}/raise/{SIGUSR1.value}").status_code == 200
    mesh.event("line", service="sender", text="told SIGUSR1")
    assert mesh.end(SIGTERM) == 143
