"""Folders that a mesh is started in, and what it keeps there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from signal import SIGINT, SIGTERM

import requests

from tests.support.programs import MESH, Shell, get

HELLO = """
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello"})
"""


def test_data_is_kept_where_it_was_told_and_memory_keeps_none(shell: Shell, tmp_path: Path) -> None:
    first = shell.up("--free-ports", "--only", "user-service", "--data", str(tmp_path / "elsewhere"))
    first.ready()
    assert first.end(SIGTERM) == 143
    assert [each.name for each in (tmp_path / "elsewhere").iterdir()] == ["user-service.db"]
    second = shell.up("--free-ports", "--only", "user-service", "--memory")
    second.ready()
    assert second.end(SIGTERM) == 143
    assert not (shell.folder / ".mesh" / "data").exists()


def test_two_checkouts_have_databases_of_their_own(shell: Shell) -> None:
    folders = [shell.folder / "one", shell.folder / "two"]
    for folder in folders:
        folder.mkdir()
    meshes = [shell.up("--free-ports", "--only", "user-service", folder=folder) for folder in folders]
    url = meshes[0].http("user-service")
    made = requests.post(f"{url}/users", json={"name": "Eve", "email": "e@x.org"}, timeout=30).json()["id"]
    assert get(f"{url}/users/{made}").status_code == 200
    assert get(f"{meshes[1].http('user-service')}/users/{made}").status_code == 404
    assert (folders[1] / ".mesh" / ".gitignore").read_text() == "*\n"


def test_a_project_is_run_from_below_in_a_path_with_spaces_and_letters(shell: Shell) -> None:
    shell.folder /= "my projét ✓"
    shell.write({"mesh.toml": '[services.one]\nhttp = {port = 0, app = "one:app"}', "deep/er/x": "", "one.py": HELLO})
    below = shell.folder / "deep" / "er"
    mesh = shell.up(folder=below)
    assert get(mesh.http("one")).text == "hello"
    assert [each["pid"] for each in json.loads("".join(shell.run("ps", "--json", folder=below).out))] == [mesh.pid]
    assert shell.run("down", folder=below).process.returncode == 0
    assert mesh.end() == 0
    assert not (below / ".mesh").exists()


def test_the_folder_a_mesh_was_started_in_may_go(shell: Shell) -> None:
    shell.write({"mesh.toml": '[services.one]\nhttp = {port = 0, app = "one:app"}', "one.py": HELLO, "below/x": ""})
    below = shell.folder / "below"
    mesh = shell.up(folder=below)
    mesh.ready()
    (below / "x").unlink()
    below.rmdir()
    assert get(mesh.http("one")).text == "hello"
    assert mesh.end(SIGINT) == 130
    assert "Traceback" not in mesh.text()


def test_a_command_in_a_folder_that_is_gone_says_so(shell: Shell) -> None:
    for words in ("up", "ps", "down", "call user-service GetUser"):
        script = f'mkdir gone && cd gone && rmdir ../gone && exec "$0" -m mesh {words}'
        run = subprocess.run(
            ["/bin/sh", "-c", script, MESH[0]],
            cwd=shell.folder,
            env=shell.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == 1, run.stderr
        assert run.stderr == "mesh: the current folder has been deleted; go to one that exists, then try again\n"
