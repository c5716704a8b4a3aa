"""Effects of a service that fails: on itself, on the others, and on what the user reads."""

from __future__ import annotations

import re
from signal import SIGINT, SIGTERM

from tests.support.programs import Shell, Up, get, in_background

FINE = """
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"fine"})
"""


def one_of_each(shell: Shell) -> Up:
    """Return a mesh with a fine service, and one for each way to fail."""
    failing = {
        "syntax": "def app(:\n    pass",
        "missing": "from . import nothing\nimport no_such_module",
        "leaving": "import sys\nsys.exit(7)",
        "hook": """
            from contextlib import asynccontextmanager
            from starlette.applications import Starlette

            @asynccontextmanager
            async def lifespan(app):
                raise RuntimeError("the hook gave up")
                yield

            app = Starlette(lifespan=lifespan)
        """,
    }
    names = ["fine", *failing]
    toml = [f'[services.{name}]\nhttp = {{port = 0, app = "{name}:app"}}' for name in names]
    shell.write({"mesh.toml": "\n".join(toml), "fine.py": FINE, **{f"{name}.py": failing[name] for name in failing}})
    return shell.up("--no-reload")


def test_services_that_fail_to_start_are_shown_with_their_own_tracebacks_while_the_others_run(shell: Shell) -> None:
    mesh = one_of_each(shell)
    states = {each["name"]: (each["state"], each["reason"]) for each in mesh.ready()["services"]}
    assert states["fine"] == ("ready", None)
    assert [states[name][0] for name in ("syntax", "missing", "leaving", "hook")] == ["failed"] * 4
    assert "syntax.py:1: SyntaxError" in str(states["syntax"][1])
    assert "missing.py:1: ImportError" in str(states["missing"][1])
    assert "sys.exit(7)" in str(states["leaving"][1])
    assert "the hook gave up" in str(states["hook"][1])
    assert get(mesh.http("fine")).text == "fine"
    refusal = get(mesh.http("hook"))
    assert (refusal.status_code, refusal.json()["code"]) == (503, 14)
    assert refusal.json()["message"].startswith("hook failed to start: ")
    assert mesh.end(SIGINT) == 1
    for name in ("syntax", "missing", "leaving", "hook"):
        lines = "\n".join(each["text"] for each in mesh.events() if each["event"] == "line" and each["service"] == name)
        assert f'{name}.py", line ' in lines, name
        assert not re.search(r'File ".*/mesh/(runtime|hosting)/', lines), lines


def test_ps_says_which_service_failed_and_why(shell: Shell) -> None:
    mesh = one_of_each(shell)
    mesh.ready()
    ps = shell.run("ps")
    assert ps.process.returncode == 0
    (line,) = [each for each in ps.out if each.startswith("  syntax ")]
    assert line.split()[1] == "failed"
    assert "syntax.py:1: SyntaxError" in line
    assert mesh.end(SIGTERM) == 1


def test_a_failure_at_the_terminal_is_named_once_above_the_banner(shell: Shell) -> None:
    names = {"fine": FINE, "broken": "import no_such_module"}
    toml = [f'[services.{name}]\nhttp = {{port = 0, app = "{name}:app"}}' for name in names]
    shell.write({"mesh.toml": "\n".join(toml), **{f"{name}.py": text for name, text in names.items()}})
    mesh = shell.start("up", "--no-reload")
    banner = mesh.line("  2 services  2 ports  1 of 2 ready, 1 failed, in ")
    mesh.line("  broken  failed  http://127.0.0.1:")
    assert mesh.end(SIGINT) == 1
    above = mesh.out[: mesh.out.index(banner)]
    sentences = [line for line in above if "failed: " in line]
    assert len(sentences) == 1
    assert re.search(r" broken  failed: .*broken\.py:1: ModuleNotFoundError", sentences[0])
    assert any("import no_such_module" in line for line in above)
    assert not any("importlib" in line for line in above)


RAISING = """
    import sys, threading

    def leave():
        print("leaving")
        sys.exit(3)

    async def app(scope, receive, send):
        match scope.get("path"):
            case None:
                return
            case "/raise":
                raise RuntimeError("secret of the handler")
            case "/exit":
                sys.exit(5)
            case "/thread":
                thread = threading.Thread(target=leave)
                thread.start()
                thread.join()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})
"""


def test_an_exception_in_a_handler_is_one_500_whose_request_id_leads_to_the_traceback(shell: Shell) -> None:
    shell.write({"mesh.toml": '[services.raising]\nhttp = {port = 0, app = "raising:app"}', "raising.py": RAISING})
    mesh = shell.up()
    url = mesh.http("raising")
    answer = get(f"{url}/raise")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    identity = re.search(r"request (\w+)", answer.json()["message"])
    assert identity is not None
    assert get(url).text == "fine"
    assert mesh.end(SIGINT) == 130  # a bug in a handler is no failure of the mesh
    (line,) = [each for each in mesh.events() if "secret of the handler" in each.get("text", "")]
    assert line["service"] == "raising"
    assert line["text"].startswith(f"request {identity[1]} failed\n")
    assert 'raising.py", line ' in line["text"]


def test_sys_exit_in_a_handler_or_a_thread_ends_neither_the_service_nor_the_mesh(shell: Shell) -> None:
    shell.write({"mesh.toml": '[services.raising]\nhttp = {port = 0, app = "raising:app"}', "raising.py": RAISING})
    mesh = shell.up()
    url = mesh.http("raising")
    assert get(f"{url}/exit").status_code == 500
    assert get(f"{url}/thread").text == "fine"
    assert mesh.event("line", text="leaving")["service"] == "raising"
    assert get(url).text == "fine"
    assert mesh.end(SIGINT) == 130


def test_a_signal_handler_of_a_service_is_called_at_its_stop(shell: Shell) -> None:
    """signal.signal raises outside the main thread; a service that calls it runs all the same."""
    handling = "import signal\nsignal.signal(signal.SIGTERM, lambda number, frame: print('asked to stop', number))"
    shell.write(
        {
            "mesh.toml": '[services.handling]\nhttp = {port = 0, app = "handling:app"}',
            "handling.py": handling + "\nasync def app(scope, receive, send): ...",
        }
    )
    mesh = shell.up()
    assert mesh.service("handling")["state"] == "ready"
    assert mesh.end(SIGINT) == 130
    said = [each["text"] for each in mesh.events() if each["event"] == "line" and each["service"] == "handling"]
    assert "asked to stop 15" in said
    assert any(text.startswith("its handler of SIGTERM (") for text in said)


def test_a_start_that_blocks_holds_up_neither_the_others_nor_the_end(shell: Shell) -> None:
    blocking = "import pathlib, time\nprint('importing')\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)"
    shell.write(
        {
            "mesh.toml": '[services.fine]\nhttp = {port = 0, app = "fine:app"}\n'
            '[services.blocking]\nhttp = {port = 0, app = "blocking:app"}',
            "fine.py": FINE,
            "blocking.py": f"{blocking}\nasync def app(scope, receive, send): ...",
        }
    )
    mesh = shell.up()
    mesh.event("change", service="fine", state="ready")
    mesh.event("line", service="blocking", text="importing")
    with in_background(lambda: shell.run("ps")) as ps:
        pass
    assert [line.split()[:2] for line in ps[0].out[1:]] == [["fine", "ready"], ["blocking", "starting"]]
    mesh.send(SIGINT)
    mesh.event("change", service="mesh", state="stopping")
    (shell.folder / "go").touch()
    assert mesh.end() == 130
