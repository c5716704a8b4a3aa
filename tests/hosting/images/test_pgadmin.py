"""pgAdmin's image as the installed program gets it; a stand-in shows the settings that it imports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import requests

from tests.support.supervised import PATIENCE, supervised

#: Imports its settings as pgAdmin does, beside its own folder.
PROGRAM = f"""\
#!{sys.executable}
import http.server, json, os
import config_local as found

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {{name: getattr(found, name) for name in dir(found) if name.isupper()}}
        told |= {{name: os.environ.get(name) for name in ("PGADMIN_SETUP_EMAIL", "PGADMIN_SETUP_PASSWORD")}}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *message):
        pass

http.server.HTTPServer((found.DEFAULT_SERVER, found.DEFAULT_SERVER_PORT), Page).serve_forever()
"""
TOML = """
    [services.pages]
    image = "dpage/pgadmin4:8"
    tcp = { port = 0, aliases = ["pages:80"] }
    env = { PGADMIN_DEFAULT_EMAIL = "ann@example.com", PGADMIN_DEFAULT_PASSWORD = "a secret" }
"""


def test_it_has_the_login_of_the_image_and_its_files_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "pgadmin4").write_text(PROGRAM)
    (programs / "pgadmin4").chmod(0o700)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    with supervised(tmp_path / "project", {"mesh.toml": TOML}) as project:
        address = project.supervisor.directory.address("pages", "tcp")
        told = requests.get(f"http://{address}/", timeout=PATIENCE).json()
        data = Path(told["DATA_DIR"])
        assert (data / "config_local.py").stat().st_mode & 0o777 == 0o600
    assert told["SERVER_MODE"] is True
    assert told["DEFAULT_SERVER_PORT"] == address.port
    assert Path(told["SQLITE_PATH"]).parent == Path(told["LOG_FILE"]).parent == data
    assert (told["PGADMIN_SETUP_EMAIL"], told["PGADMIN_SETUP_PASSWORD"]) == ("ann@example.com", "a secret")
