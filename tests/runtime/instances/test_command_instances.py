"""The environment of a command, and where it may listen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mesh.runtime.messages import ServiceCommand
from mesh.runtime.options import Options
from tests.support.supervised import ECHO, supervised

#: Prints a line, and goes on; Python keeps back what it writes to a pipe.
WORKER = "import sys, time\nprint('at work in', sys.prefix)\ntime.sleep(1000)\n"

SERVE = """\
import os, socket
from http.server import BaseHTTPRequestHandler, HTTPServer

class Server(HTTPServer):
    address_family = socket.AF_INET6

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *message):
        pass

Server(("::1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_a_python_command_finds_the_environment_of_mesh_and_shows_its_lines_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    files = {"mesh.toml": '[services.worker]\ncommand = "exec python worker.py"\n', "worker.py": WORKER}
    with supervised(tmp_path, files) as project:
        project.line("worker", f"at work in {sys.prefix}")


def test_the_environments_of_the_service_and_of_the_project_come_first_on_the_path(tmp_path: Path) -> None:
    toml = """\
        [services.worker]
        root = "worker"
        command = "echo $PATH; exec sleep 1000"
        """
    for folder in (tmp_path / "worker" / "venv", tmp_path / ".venv"):
        (folder / "bin").mkdir(parents=True)
    (tmp_path / "worker" / "node_modules" / ".bin").mkdir(parents=True)
    with supervised(tmp_path, {"mesh.toml": toml}) as project:
        assert project.line("worker", "venv").text.split(":")[:4] == [
            str(tmp_path / "worker" / "venv" / "bin"),
            str(tmp_path / "worker" / "node_modules" / ".bin"),
            str(tmp_path / ".venv" / "bin"),
            str(Path(sys.executable).parent),
        ]


def test_a_command_with_a_grpc_port_alone_is_told_that_as_its_port(tmp_path: Path) -> None:
    toml = """\
        [services.worker]
        command = "echo port $PORT is $MESH_WORKER_GRPC; exec sleep 1000"
        grpc = { port = 0 }
        """
    with supervised(tmp_path, {"mesh.toml": toml}, settled=False) as project:
        address = project.supervisor.directory.address("worker", "grpc")
        project.line("worker", f"port {address.port} is {address}")


@pytest.mark.parametrize("ready", ["port", "/health"])
def test_a_command_that_listens_on_ipv6_alone_is_ready_and_its_dependants_start(tmp_path: Path, ready: str) -> None:
    toml = f"""\
        [services.front]
        command = "exec python serve.py"
        http = {{ port = 0 }}
        ready = "{ready}"

        [services.web]
        http = {{ port = 0, app = "app:app" }}
        depends_on = ["front"]
        """
    with supervised(tmp_path, {"mesh.toml": toml, "serve.py": SERVE, "app.py": ECHO}) as project:
        project.change("front", "ready")
        assert project.get("web", "/here").text == "/here"


MIGRATION = """\
        [services.migrate]
        command = "echo migrated >> done.txt; exit $(cat status)"
        ready = "done"
        watch = ["*.sql"]

        [services.web]
        http = { port = 0, app = "app:app" }
        depends_on = ["migrate"]
        """

#: Answers with what the migration had written when this code was loaded.
MIGRATED = "from pathlib import Path\nFOUND = Path('done.txt').read_text()\n" + ECHO.replace(
    'scope["path"].encode()', "FOUND.encode()"
)


def test_what_depends_on_a_migration_starts_when_that_is_done_and_it_runs_once(tmp_path: Path) -> None:
    with supervised(tmp_path, {"mesh.toml": MIGRATION, "app.py": MIGRATED, "status": "0"}) as project:
        assert project.get("web", "/").text == "migrated\n"
        assert project.supervisor.snapshot["migrate"].state == "done"
        project.supervisor.post(ServiceCommand("migrate", "restart"))
        project.wait_for(lambda _: project.supervisor.snapshot["migrate"].generation == 2)
        assert (tmp_path / "done.txt").read_text() == "migrated\n" * 2


def test_a_migration_that_fails_is_tried_again_and_done_when_it_succeeds(tmp_path: Path) -> None:
    files = {"mesh.toml": MIGRATION, "app.py": MIGRATED, "status": "3"}
    with supervised(tmp_path, files, settled=False) as project:
        project.change("migrate", "failed", "ended with status 3; retrying in 1.0 s")
        (tmp_path / "status").write_text("0")
        project.change("migrate", "done")


def test_a_command_without_ports_that_ends_with_status_0_is_done(tmp_path: Path) -> None:
    with supervised(tmp_path, {"mesh.toml": '[services.job]\ncommand = "echo worked"\n'}) as project:
        project.change("job", "done")
        project.line("job", "done in ")
    assert [each.state for each in project.supervisor.snapshot.services] == ["done"]


UNTIL_GO = (
    "echo begins; until [ -e go ]; do sleep 0.02; done; printf 'now \\033[32mlistening\\033[0m on 8080\\n'; sleep 1000"
)


def waiting_for_a_line(command: str) -> dict[str, str]:
    toml = f"""\
        [services.worker]
        command = {json.dumps(command)}
        ready = 'log: listening on \\d+'

        [services.front]
        http = {{ port = 0, app = "app:app" }}
        depends_on = ["worker"]
        """
    return {"mesh.toml": toml, "app.py": ECHO}


def test_a_command_is_ready_when_it_has_printed_the_line(tmp_path: Path) -> None:
    with supervised(tmp_path, waiting_for_a_line(UNTIL_GO), settled=False) as project:
        project.line("worker", "begins")
        assert project.supervisor.snapshot["front"].state == "waiting"
        (tmp_path / "go").touch()
        project.change("front", "ready")
        assert project.supervisor.snapshot["worker"].state == "ready"


def test_the_line_that_a_command_has_not_printed_in_time_is_told(tmp_path: Path) -> None:
    files = waiting_for_a_line("exec sleep 1000")
    with supervised(tmp_path, files, Options(start_within=0.2)) as project:
        assert project.line("worker", "has printed no line with 'listening on \\\\d+' yet")
