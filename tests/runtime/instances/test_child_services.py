"""Services in processes of their own: commands, and Python code with isolation = "process"."""

from __future__ import annotations

import contextlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from signal import SIGKILL

import pytest
import requests

from mesh.observing.journal import Line
from mesh.runtime.messages import ServiceCommand
from mesh.runtime.options import Options
from tests.support.ports import free_row
from tests.support.processes import mesh_up
from tests.support.programs import Shell, Up, ended
from tests.support.supervised import ECHO, PATIENCE, supervised, write

HELD = """\
import os
import time

print("pid", os.getpid(), flush=True)
time.sleep(1000)
"""


def test_a_command_knows_its_port_and_the_other_services_by_variables(tmp_path: Path) -> None:
    toml = """\
        [services.web]
        http = { port = 0, app = "app:app" }

        [services.child-of-ours]
        command = "env | grep -E '^(PORT|MINE|MESH_WEB_HTTP)=' | sort; exec sleep 1000"
        env = { MINE = "yes" }
        """
    with supervised(tmp_path, {"mesh.toml": toml, "app.py": ECHO}) as project:
        project.line("child-of-ours", f"MESH_WEB_HTTP={project.supervisor.directory.address('web', 'http')}")
        project.line("child-of-ours", "MINE=yes")


def test_a_command_in_another_language_is_told_of_moved_ports(tmp_path: Path) -> None:
    """Code of Python is redirected; `supervised` moves every port."""
    toml = """\
        [services.web]
        http = { port = 18080, app = "app:app" }

        [services.other]
        command = "sh -c 'exec sleep 1000'"
        http = { port = 18081 }
        ready = "log: never"

        [services.script]
        command = "mesh --version; exec sleep 1000"

        [services.python]
        command = "python3 -c 'import time; time.sleep(1000)'"
        """
    with supervised(tmp_path, {"mesh.toml": toml, "app.py": ECHO}, settled=False) as project:
        told = project.line("other", "ports are moved")
        assert told.text == (
            "ports are moved, and where its code names one itself, localhost:18080 for example, it does not reach this "
            "mesh; the variables MESH_NAME_HTTP and MESH_NAME_GRPC have the addresses"
        )
        for name in ("script", "python"):
            project.change(name, "ready")
        named = {each.service for each in project.entries if "ports are moved" in getattr(each, "text", "")}
        assert named == {"other"}


def test_a_command_that_listens_elsewhere_is_named_with_the_port_that_it_opened(tmp_path: Path) -> None:
    serve = """\
        import signal, socket
        server = socket.create_server(("127.0.0.1", 0))
        print("listening", server.getsockname()[1])
        signal.pause()
        """
    toml = """\
        [services.astray]
        command = "python serve.py; true"
        http = { port = 0 }
        """
    with supervised(tmp_path, {"mesh.toml": toml, "serve.py": serve}, Options(start_within=4)) as project:
        declared = project.supervisor.directory.address("astray", "http").port
        opened = project.line("astray", "listening ").text.split()[1]
        told = project.line("astray", "runs as pid ")
        assert told.text.endswith(
            f", without an answer on http port {declared} yet; it listens on {opened}: declare that, or make the "
            "command listen on the one in its variable PORT"
        )


def test_a_command_that_has_the_port_of_its_container_is_reached_at_the_published_one(tmp_path: Path) -> None:
    serve = """\
        from http.server import BaseHTTPRequestHandler, HTTPServer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[::-1])
            def log_message(self, *message):
                pass

        HTTPServer(("127.0.0.1", CONTAINER), Handler).serve_forever()
        """
    container = free_row(1)
    # Without `site`, as a program in any other language.
    toml = f"""\
        [services.web]
        command = "exec python -S serve.py"
        http = {{ port = 0, aliases = ["web:{container}"] }}
        """
    files = {"mesh.toml": toml, "serve.py": serve.replace("CONTAINER", str(container))}
    with supervised(tmp_path, files) as project:
        published = project.supervisor.directory.address("web", "http").port
        project.line("web", f"it listens on {container}, the port of its container: {published} is passed on to it")
        sent = bytes(range(256)) * 4096
        for _ in range(2):
            answer = requests.post(f"http://127.0.0.1:{published}/", data=sent, timeout=30)
            assert answer.content == sent[::-1]
            seen = len(project.entries)
            project.supervisor.post(ServiceCommand("web", "restart"))
            project.line("web", "restarted in", seen)


LISTENERS = {
    "socket": "server = socket.create_server(('0.0.0.0', PORT))\nserver.listen()",
    "uvloop": """\
import asyncio, uvloop

async def main():
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", PORT)
    await server.serve_forever()

uvloop.run(main())""",
    "grpc": """\
import grpc
from concurrent.futures import ThreadPoolExecutor
server = grpc.server(ThreadPoolExecutor(1))
server.add_insecure_port("127.0.0.1:PORT")
server.start()""",
    "grpc.aio": """\
import asyncio, grpc.aio

async def main():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:PORT")
    await server.start()
    await server.wait_for_termination()

asyncio.run(main())""",
}


@pytest.mark.parametrize("by", LISTENERS)
def test_two_commands_in_python_may_have_the_same_port_of_their_containers(tmp_path: Path, by: str) -> None:
    container = free_row(1)
    toml = "\n".join(
        f"""\
        [services.{name}]
        command = "exec python serve.py"
        tcp = {{ port = 0, aliases = ["{name}:{container}"] }}
        """
        for name in ("one", "other")
    )
    serve = f"import signal, socket\n{LISTENERS[by].replace('PORT', str(container))}\nsignal.pause()\n"
    with supervised(tmp_path, {"mesh.toml": toml, "serve.py": serve}, Options(start_within=PATIENCE)) as project:
        states = [project.supervisor.snapshot[name].state for name in ("one", "other")]
        assert states == ["ready", "ready"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", container), 5).close()


def test_a_command_that_does_not_listen_is_named_with_its_port_and_may_still_come(tmp_path: Path) -> None:
    serve = """\
        import os, sys
        from http.server import BaseHTTPRequestHandler, HTTPServer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if os.path.exists("healthy") else 500)
                self.end_headers()
            def log_message(self, *message):
                pass

        HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
        """
    toml = """\
        [services.late]
        command = "exec python serve.py"
        http = { port = 0 }
        ready = "/health"
        """
    files = {"mesh.toml": toml, "serve.py": serve}
    with supervised(tmp_path, files, Options(start_within=0.1), settled=False) as project:
        port = project.supervisor.directory.address("late", "http").port
        told = project.line("late", "`exec python serve.py` runs as pid ")
        assert told.text.endswith(f", without an answer on http port {port} yet")
        failed = project.change("late", "failed")
        assert failed.reason == "has not started within 0.6 s"
        (tmp_path / "healthy").touch()
        project.change("late", "ready")


def test_a_command_that_is_not_to_be_had_is_told_as_the_shell_tells_it(tmp_path: Path) -> None:
    with supervised(tmp_path, {"mesh.toml": '[services.web]\ncommand = "exec npn run dev"\n'}) as project:
        project.change("web", "failed", "`exec npn run dev` ended with status 127; retrying in 1.0 s")
        project.line("web", "npn: not found")


def test_a_command_ended_by_a_signal_is_told_so(tmp_path: Path) -> None:
    with supervised(tmp_path, {"mesh.toml": "[services.web]\ncommand = 'kill -KILL $$'\n"}) as project:
        project.change("web", "failed", "`kill -KILL $$` was ended by SIGKILL")


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    toml = "[services.web]\ncommand = 'sleep 1000 & echo left $!'\n"
    with supervised(tmp_path, {"mesh.toml": toml}) as project:
        left = int(project.line("web", "left ").text.split()[1])
        project.change("web", "done")
        assert ended(left, 30.0)


def test_a_stop_lets_a_command_end_in_its_own_way_and_waits_for_it(tmp_path: Path) -> None:
    toml = """\
        [services.web]
        command = "python slow.py"
        """
    slow = """\
        import signal, sys

        def end(number, frame):
            print("ends in its own way", flush=True)
            sys.exit(0)

        signal.signal(signal.SIGTERM, end)
        print("waits", flush=True)
        signal.pause()
        """
    with supervised(tmp_path, {"mesh.toml": toml, "slow.py": slow}) as project:
        project.line("web", "waits")
        project.supervisor.post(ServiceCommand("web", "stop"))
        project.change("web", "stopped")
        project.line("web", "ends in its own way")


def test_a_command_that_will_not_end_is_ended_after_the_grace(tmp_path: Path) -> None:
    toml = "[services.web]\ncommand = 'trap \"\" TERM; echo pid $$; while true; do sleep 0.1; done'\n"
    with supervised(tmp_path, {"mesh.toml": toml}, Options(grace=0.3)) as project:
        pid = int(project.line("web", "pid ").text.split()[1])
        project.supervisor.post(ServiceCommand("web", "stop"))
        project.change("web", "stopped")
        assert ended(pid, 30.0)


def test_a_command_gets_the_grace_that_it_declares(tmp_path: Path) -> None:
    toml = """\
        [services.hasty]
        command = 'trap "" TERM; echo pid $$; while true; do sleep 0.1; done'
        grace = 0.3

        [services.calm]
        command = 'trap "sleep 0.8; echo has put all away; exit 0" TERM; echo waits; while true; do sleep 0.1; done'
        grace = 60
        """
    with supervised(tmp_path, {"mesh.toml": toml}, Options(grace=0.1)) as project:
        pid = int(project.line("hasty", "pid ").text.split()[1])
        project.line("calm", "waits")
        project.supervisor.post(ServiceCommand("hasty", "stop"))
        project.change("hasty", "stopped")
        assert ended(pid, 30.0)
    project.line("calm", "has put all away")


def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    toml = "[services.web]\ncommand = 'head -c 5000000 /dev/zero | tr \"\\\\0\" x; echo; echo after; sleep 1000'\n"
    with supervised(tmp_path, {"mesh.toml": toml}) as project:
        project.line("web", "after")
        assert [len(each.text) for each in project.entries if isinstance(each, Line)] == [16384, 5]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that is not its child")
def test_nothing_stays_when_mesh_itself_is_killed(tmp_path: Path) -> None:
    files = {
        "mesh.toml": """\
            [services.command]
            command = "python held.py"

            [services.apart]
            http = { port = 0, app = "app:app" }
            isolation = "process"
            """,
        "held.py": HELD.replace("print(", "open('pid', 'w').write(str(os.getpid())); print("),
        "app.py": "import os\nopen('apart', 'w').write(str(os.getpid()))\n" + ECHO,
    }
    write(tmp_path, files)
    with mesh_up(tmp_path) as running:
        held = tmp_path / "pid"
        line = next(filter(None, iter(lambda: held.read_text() if held.exists() else "", None)))
        pids = [int(line), int((tmp_path / "apart").read_text())]
        running.process.kill()
        assert [ended(pid, 30.0) for pid in pids] == [True, True]


#: Streams without end from a thread, or keeps the GIL for longer than anybody waits.
UNENDING = """\
import os, re, time

def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    print("began", os.getpid())
    if environ["PATH_INFO"] == "/gil":
        re.match("(a+)+$", "a" * 60 + "b")
    while True:
        time.sleep(0.01)
        yield b"and so on\\n"
"""


def lines_of(mesh: Up, service: str) -> list[str]:
    return [each["text"] for each in mesh.events() if each["event"] == "line" and each["service"] == service]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that is not its child")
def test_no_open_stream_and_no_thread_keeps_a_process_when_mesh_is_killed(shell: Shell) -> None:
    toml = '[services.{}]\nhttp = {{ port = 0, app = "app:app" }}\nisolation = "process"\n'
    shell.write({"mesh.toml": toml.format("stream") + toml.format("gil"), "app.py": UNENDING})
    mesh = shell.up()
    pids = []
    with contextlib.ExitStack() as callers:
        for name in ("stream", "gil"):
            host, _, port = mesh.http(name).removeprefix("http://").rpartition(":")
            caller = callers.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
            caller.sendall(f"GET /{name} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            began = mesh.wait_for(partial(lines_of, mesh, name))
            pids.append(int(began[0].split()[1]))
        mesh.end(SIGKILL)
        assert [ended(pid, 30.0) for pid in pids] == [True, True]


ISOLATED = {
    "mesh.toml": """\
        [services.apart]
        root = "apart"
        http = { port = 0, app = "app:app" }
        isolation = "process"
        """,
    "apart/app.py": ECHO,
}


def test_a_saved_edit_is_live_in_a_process_too_and_a_broken_one_is_kept_out(tmp_path: Path) -> None:
    with supervised(tmp_path, ISOLATED, Options(watch=True)) as project:
        assert project.get("apart", "/here").text == "/here"
        write(tmp_path, {"apart/app.py": ECHO.replace('scope["path"].encode()', 'b"edited"')})
        project.line("apart", "(app.py;")
        assert project.get("apart", "/here").text == "edited"
        write(tmp_path, {"apart/app.py": "broken ="})
        project.change(
            "apart", "ready", "reload failed, still serving the previous code: apart: apart/app.py:1: SyntaxError"
        )
        assert project.get("apart", "/here").text == "edited"
        since = len(project.entries)
        write(tmp_path, {"apart/app.py": ECHO})
        project.change("apart", "ready", since=since)
        assert project.supervisor.snapshot["apart"].reason is None
        assert project.get("apart", "/here").text == "/here"


def test_callers_wait_while_one_process_follows_another_and_none_is_refused(tmp_path: Path) -> None:
    waiting = "import pathlib, time\nprint('begun')\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    with supervised(tmp_path, ISOLATED) as project, ThreadPoolExecutor(8) as pool:
        since = len(project.entries)
        write(tmp_path, {"apart/app.py": waiting + ECHO.replace('scope["path"].encode()', 'b"the next"')})
        project.supervisor.post(ServiceCommand("apart", "restart"))
        project.line("apart", "begun", since)
        address = project.supervisor.directory.address("apart", "http")
        callers = [socket.create_connection((address.host, address.port), timeout=PATIENCE) for _ in range(8)]
        for caller in callers:
            caller.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        (tmp_path / "apart/go").touch()
        assert project.line("apart", "restarted in ", since).text.endswith(" ms  (restart)")
        for answer in pool.map(everything, callers):
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"the next" in answer


def everything(connection: socket.socket) -> bytes:
    """Return what arrives until the other side closes."""
    with connection, connection.makefile("rb") as stream:
        return stream.read()


def test_the_port_of_a_process_that_was_stopped_is_closed_and_comes_back(tmp_path: Path) -> None:
    with supervised(tmp_path, ISOLATED) as project:
        address = project.supervisor.directory.address("apart", "http")
        project.supervisor.post(ServiceCommand("apart", "stop"))
        project.change("apart", "stopped")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port), timeout=PATIENCE)
        since = len(project.entries)
        project.supervisor.post(ServiceCommand("apart", "start"))
        project.change("apart", "ready", since=since)
        assert project.get("apart", "/back").text == "/back"


def test_what_many_threads_of_a_process_tell_stays_line_by_line(tmp_path: Path) -> None:
    saying = """
import threading

def say(name):
    for number in range(200):
        print(f"{name} {number}")

threads = [threading.Thread(target=say, args=(name,)) for name in "abcd"]
for each in threads: each.start()
for each in threads: each.join()
print("x" * 20_000 + "\\N{SNOWMAN}")
print("\\N{SNOWMAN}" * 16_384)
"""
    with supervised(tmp_path, {**ISOLATED, "apart/app.py": saying + ECHO}) as project:
        said = [each.text for each in project.entries if isinstance(each, Line) and each.stream == "stdout"]
        assert sorted(said[:-2]) == sorted(f"{name} {number}" for name in "abcd" for number in range(200))
        assert said[-2:] == ["x" * 16_383 + "…", "\N{SNOWMAN}" * 16_384]


def is_line_of(stream: str, entry: object) -> bool:
    return isinstance(entry, Line) and entry.stream == stream


def test_a_line_that_goes_past_the_streams_of_python_is_cut_too(tmp_path: Path) -> None:
    writing = 'import os\nfor number in (1, 2): os.write(number, b"x" * 100_000 + b"\\n")\n'
    with supervised(tmp_path, {**ISOLATED, "apart/app.py": writing + ECHO}) as project:
        for stream in ("stdout", "stderr"):
            line = project.wait_for(partial(is_line_of, stream))
            assert line.text == "x" * 16_384


def test_a_process_whose_code_is_broken_has_failed_with_its_reason_until_it_is_mended(tmp_path: Path) -> None:
    broken = {**ISOLATED, "apart/app.py": "import no_such_module\n"}
    with supervised(tmp_path, broken, Options(watch=True)) as project:
        assert project.change("apart", "failed").reason == (
            "apart: apart/app.py:1: ModuleNotFoundError at import: No module named 'no_such_module'"
        )
        write(tmp_path, {"apart/app.py": ECHO})
        project.change("apart", "ready")
        assert project.get("apart", "/here").text == "/here"


def test_a_process_that_dies_of_a_signal_is_told_and_started_again(tmp_path: Path) -> None:
    dying = {
        **ISOLATED,
        "apart/app.py": ECHO.replace("    if", '    if scope["path"] == "/die":\n        os.abort()\n    if'),
    }
    dying["apart/app.py"] = "import os\n" + dying["apart/app.py"]
    with supervised(tmp_path, dying) as project:
        port = project.supervisor.directory.address("apart", "http").port
        with contextlib.suppress(OSError):
            project.get("apart", "/die")
        project.change("apart", "failed", "its process was ended by SIGABRT")
        project.change("apart", "ready", since=len(project.entries))
        assert project.supervisor.directory.address("apart", "http").port == port


def test_objects_that_only_this_process_has_are_refused_for_another(tmp_path: Path) -> None:
    from mesh import Http, Service, Supervisor, Topology

    async def app(scope: object, receive: object, send: object) -> None: ...

    topology = Topology("t", Service("apart", http=Http((0,), app=app), isolation="process"), folder=tmp_path)
    supervisor = Supervisor(topology)
    supervisor.start()
    try:
        (failure,) = supervisor.failures()
        assert 'isolation = "process" needs code named as "module:attribute"' in failure
    finally:
        supervisor.stop()


def test_a_carriage_return_in_a_commands_output_ends_no_line(tmp_path: Path) -> None:
    toml = """\
        [services.talker]
        command = "printf 'one\\\\rtwo\\\\r\\\\nthree\\\\n'; exec sleep 1000"
        """
    with supervised(tmp_path, {"mesh.toml": toml}) as project:
        project.line("talker", "three")
        texts = [each.text for each in project.entries if isinstance(each, Line) and each.stream == "stdout"]
    assert texts == ["one\rtwo\r", "three"]
