"""`mesh up` in folders without a mesh.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import RunMesh, Shell, get
from tests.support.supervised import ECHO

COMPOSE = """\
    services:
      web:
        build: .
        command: uvicorn app:app --port 8000
        ports: ["${PORT_OF_WEB:-17821}:8000"]
        environment: {WHO: "${WHO}"}
      late:
        build: .
        command: uvicorn app:app --port 8000
        ports: ["17822:8000"]
        profiles: [all]
    """
WHO = """\
    import os

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": os.environ["WHO"].encode()})
        elif scope["type"] == "lifespan":
            raise RuntimeError
    """


def test_a_compose_file_runs_and_follows_its_edits(shell: Shell) -> None:
    shell.write({"compose.yaml": COMPOSE, "app.py": WHO, ".env": "WHO=ada\n"})
    up = shell.up()
    assert get(up.http("web")).text == "ada"
    up.line("services are those of compose.yaml; `mesh init` writes them to mesh.toml")
    assert [service["name"] for service in up.ready()["services"]] == ["web"]
    shell.write({".env": "WHO=grace\n"})
    up.event("change", service="web", state="stopped")
    up.wait_for(lambda: [each for each in up.events() if each.get("state") == "ready"][1:])
    assert get(up.http("web")).text == "grace"


def test_init_writes_what_up_runs_from_below_the_compose_file_too(
    mesh_command: RunMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "shop" / "inner"
    below.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "compose.yaml").write_text("services: {web: {build: shop, command: python app.py, ports: [8000]}}\n")
    (below.parent / "app.py").write_text(
        "import http.server\nhttp.server.HTTPServer(('', 8000), None).serve_forever()\n"
    )
    monkeypatch.chdir(below)
    assert mesh_command("init").out == "wrote ../../mesh.toml\ncompose.yaml; run it with `mesh up`\n"
    text = (tmp_path / "mesh.toml").read_text()
    assert text.endswith('[services.web]\nroot = "shop"\nrun = "python app.py"\nhttp = { port = 8000 }\n')
    assert mesh_command("check").out.endswith(f": 1 service, 1 listener, no mistake ({tmp_path / 'mesh.toml'})\n")


def test_a_profile_adds_its_services(shell: Shell) -> None:
    shell.write({"compose.yaml": COMPOSE, "app.py": WHO, ".env": "WHO=ada\nPORT_OF_WEB=17823\n"})
    up = shell.up("--profile", "all", "--free-ports")
    assert {service["name"] for service in up.ready()["services"]} == {"web", "late"}
    unknown = shell.run("up", "--profile", "al")
    assert (unknown.process.returncode, unknown.err) == (
        2,
        ["mesh: no profile is named 'al'; did you mean 'all'? known profiles: all\n"],
    )


def test_code_runs_without_any_file_that_declares_it(shell: Shell) -> None:
    shell.write({"shop/app.py": "from starlette.applications import Starlette\n\napp = Starlette()\n"})
    assert get(shell.up("--free-ports").http("shop")).status_code == 404


def test_a_folder_with_code_of_which_nothing_is_known_to_run_is_told(shell: Shell) -> None:
    shell.write({"shop/prices.py": "PRICE = 5\n"})
    refused = shell.run("up")
    assert (refused.process.returncode, refused.err) == (
        2,
        [
            f"mesh: no service was found in {shell.folder}: no Compose file or Procfile with one, and no Python file "
            "that has an application or starts a server; declare them in a mesh.toml, or run mesh's example by "
            "`mesh up store`\n"
        ],
    )


def test_the_store_is_named_anywhere(shell: Shell) -> None:
    shell.write({"mesh.toml": '[services.web]\nhttp = { port = 0, app = "app:app" }\n', "app.py": ECHO})
    up = shell.up("store", "--free-ports", "--memory", "--only", "user-service")
    assert get(f"{up.http('user-service')}/users/1").json()["name"] == "Ada Lovelace"


def test_a_variable_that_compose_needs_is_told(shell: Shell) -> None:
    shell.write({"compose.yaml": "services: {web: {build: ., ports: ['${PORT:?give a port}:80']}}\n", "app.py": ECHO})
    refused = shell.run("up", env={"PORT": None})
    assert (refused.process.returncode, refused.err) == (
        2,
        ["mesh: compose.yaml: services.web.ports: the variable PORT needs a value: give a port\n"],
    )


def test_a_mistake_in_what_was_read_is_told_by_its_key(shell: Shell) -> None:
    compose = "services: {web: {build: ., command: uvicorn app:app, env_file: .env.dev}}\n"
    shell.write({"compose.yaml": compose, "app.py": ECHO, ".env.dev-sample": "A=1\n"})
    refused = shell.run("up")
    assert (refused.process.returncode, refused.err) == (
        2,
        [
            f"mesh: compose.yaml: services.web.env_file: no such file: {shell.folder}/.env.dev; copy it from "
            ".env.dev-sample\n",
            "`mesh init` writes what was read to mesh.toml, for you to correct\n",
        ],
    )
