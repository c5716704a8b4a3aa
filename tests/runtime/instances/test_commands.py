"""What a command finds in its environment, and where it may listen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from supervised import ECHO, supervised

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
    with supervised(tmp_path, {"mesh.toml": toml}) as project:
        assert project.line("worker", "venv").text.split(":")[:3] == [
            str(tmp_path / "worker" / "venv" / "bin"),
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
