"""Files that `mesh init` writes, which load."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from mesh.errors import UsageError
from mesh.topology.drafting.draft import Draft, draft
from mesh.topology.loading import load
from mesh.topology.model import Grpc, Http, Service, Topology

FASTAPI = "from fastapi import FastAPI\n\napp = FastAPI()\n"
FLASK = "from flask import Flask\n\ndef create_app(config=None):\n    return Flask(__name__)\n"
SERVICER = """
import grpc
import users_pb2_grpc

class UserServicer(users_pb2_grpc.UserServiceServicer):
    pass

def serve():
    server = grpc.server(None)
    server.add_insecure_port("[::]:50061")
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def written(folder: Path) -> tuple[Draft, Topology]:
    """Return the draft of a folder, written to it and loaded from it."""
    drafted = draft(folder)
    write(folder, {str(path): text for path, text in drafted.files.items()})
    return drafted, load(None, folder, lambda: pytest.fail("mesh.toml was not found"))


@pytest.mark.parametrize("name", ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"])
def test_every_name_of_a_compose_file_is_known(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: "services: {web: {build: ., ports: ['22:22']}}", "app.py": FASTAPI})
    _, topology = written(tmp_path)
    assert topology.services == (Service("web", Http((8022,), app="app:app", aliases=("web:22",)), root=tmp_path),)


@pytest.mark.parametrize(
    "name", ["docker-compose.dev.yml", "docker/compose.yaml", ".docker/docker-compose.local.yaml", "local.yml"]
)
def test_a_compose_file_for_development_is_read_where_the_top_has_none(tmp_path: Path, name: str) -> None:
    up = "../" if "/" in name else ""
    compose = f"\nservices: {{web: {{build: './{up}', env_file: '{up}web.env', environment: [OWN]}}}}"
    write(
        tmp_path, {name: compose, "app.py": FASTAPI, "web.env": "FOUND=yes\n", f"{Path(name).parent}/.env": "OWN=$1\n"}
    )
    drafted, topology = written(tmp_path)
    assert drafted.origin == name
    assert [(each.root, each.http) for each in topology] == [(tmp_path, Http((8001,), app="app:app"))]
    assert [dict(each.env) for each in topology] == [{"FOUND": "yes", "OWN": "$1"}]


def test_no_secret_gets_into_mesh_toml_that_it_would_find_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_SHELL", "shell-secret")
    given = "[OF_SHELL, 'A=${OF_TOP}', 'B=${BESIDE}', BESIDE, 'C=${NOWHERE:-c}', 'D=$$BESIDE']"
    write(
        tmp_path,
        {
            "docker/compose.yaml": f"services: {{web: {{build: .., environment: {given}}}}}",
            "app.py": FASTAPI,
            ".env": "OF_TOP=top-secret\n",
            "docker/.env": "BESIDE=beside\n",
        },
    )
    drafted, topology = written(tmp_path)
    assert "-secret" not in drafted.text
    assert drafted.remarks == ["values of docker/.env are written out in env: BESIDE"]
    (web,) = topology
    assert dict(web.env) == {
        "OF_SHELL": "shell-secret",
        "A": "top-secret",
        "B": "beside",
        "BESIDE": "beside",
        "C": "c",
        "D": "$BESIDE",
    }


def test_the_compose_file_of_the_folder_with_all_code_is_read(tmp_path: Path) -> None:
    compose = "services: {web: {build: ./web, ports: ['9000:80']}, db: {image: postgres}}"
    write(tmp_path, {"src/compose.yaml": compose, "src/web/app.py": FASTAPI, "docs/conf.py": "x = 1\n"})
    _, topology = written(tmp_path)
    assert [(each.name, each.root) for each in topology] == [("web", tmp_path / "src" / "web"), ("db", tmp_path)]


@pytest.mark.parametrize("more", ["shop/app.py", "other/compose.yaml"])
def test_a_compose_file_of_a_part_is_not_that_of_the_whole(tmp_path: Path, more: str) -> None:
    compose = "services: {web: {build: ., ports: ['9000:80']}}"
    write(
        tmp_path, {"page/compose.yaml": compose, "page/app.py": FASTAPI, more: compose if "yaml" in more else FASTAPI}
    )
    drafted, _ = written(tmp_path)
    assert drafted.origin == "what this folder holds"


def test_the_files_of_compose_file_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = "services: {web: {build: web, environment: {A: 1, B: 1}}}"
    write(
        tmp_path,
        {
            "compose.yaml": "services: {other: {build: web}}",
            "run/base.yml": first.replace("build: web", "build: ../web"),
            "run/dev.yml": "services: {web: {environment: {B: '${NAME}'}}}",
            "web/app.py": FASTAPI,
            "run/.env": "NAME=beside\nB=2\n",
            ".env": f"COMPOSE_FILE=run/base.yml{os.pathsep}run/dev.yml\nNAME=top\n",
        },
    )
    _, topology = written(tmp_path)
    assert [(each.name, dict(each.env)) for each in topology] == [("web", {"A": "1", "B": "top"})]
    (tmp_path / "run" / ".env").write_text("COMPOSE_FILE='unfinished\n")
    with pytest.raises(UsageError, match=r"^\.env: line 1: expected NAME=value"):
        draft(tmp_path / "run")
    (tmp_path / "run" / ".env").unlink()
    monkeypatch.setenv("COMPOSE_FILE", "gone.yml")
    with pytest.raises(UsageError, match=r"no such Compose file: gone\.yml"):
        draft(tmp_path / "run")


def test_unpublished_ports_that_clash_get_one_each_and_keep_their_names(tmp_path: Path) -> None:
    compose = "services:\n  a: {build: a, expose: ['8080']}\n  b: {build: b, expose: [8080]}\n  c: {build: b}\n"
    write(tmp_path, {"compose.yaml": compose, "a/app.py": FASTAPI, "b/app.py": FASTAPI})
    _, topology = written(tmp_path)
    assert [service.http for service in topology] == [
        Http((8080,), app="app:app"),
        Http((8081,), app="app:app", aliases=("b:8080",)),
        Http((8001,), app="app:app"),
    ]


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("['9000-9001:80-81']", (9000,)),
        ("['80']", (8080,)),
        ("['${PORT}:9000']", (9000,)),
        ("['[::1]:9000:80']", (9000,)),
        ("['${PORT:-7000}:80/tcp']", (7000,)),
        ("[{target: 80, published: 9000, protocol: udp}, {target: 80}]", (8080,)),
    ],
)
def test_every_form_of_a_port_is_read(tmp_path: Path, ports: str, expected: tuple[int, ...]) -> None:
    write(tmp_path, {"compose.yaml": f"services: {{web: {{build: ., ports: {ports}}}}}", "app.py": FASTAPI})
    _, topology = written(tmp_path)
    assert [listener.ports for service in topology for listener in service.listeners] == [expected]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("services:\n  a: [\n", "compose.yaml:3:1: expected the node content, but found '<stream end>'"),
        ("- a\n", "compose.yaml: it has no table of services"),
        (
            "services: {gone: {build: gone}}",
            "the Compose file has no service that mesh could run\n"
            "gone is left out (no Python code found): run it beside mesh, such as by "
            "`docker compose -f compose.yaml up -d gone`",
        ),
    ],
)
def test_a_compose_file_that_is_of_no_use_is_told(tmp_path: Path, text: str, told: str) -> None:
    write(tmp_path, {"compose.yaml": text})
    with pytest.raises(UsageError) as refused:
        draft(tmp_path)
    assert str(refused.value) == told


def test_without_pyyaml_the_way_to_get_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"compose.yaml": "services: {}"})
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(UsageError) as refused:
        draft(tmp_path)
    assert str(refused.value) == "reading compose.yaml needs PyYAML; install it with: python -m pip install pyyaml"


def test_services_are_found_by_their_apps_and_servicers(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "services/users/app.py": FLASK,
            "services/users/grpc_server.py": SERVICER,
            "services/orders/src/orders/__init__.py": "",
            "services/orders/src/orders/main.py": FASTAPI + "import uvicorn\nuvicorn.run(app, port=5003)\n",
            "services/billing/app/api.py": "from app.models import x\n" + FASTAPI,
            "web/package.json": '{"scripts": {"dev": "vite --port 3100"}}',
            "proto/users.proto": 'syntax = "proto3";\n',
            "old/made.proto": 'syntax = "proto3";\n',
            "old/made_pb2.py": "",
            "old/made_pb2_grpc.py": "class MadeServicer(object): pass\nclass X(MadeServicer): pass\n",
            "old/broken.py": "app = FastAPI(\n",
            "services/users/patterns.py": "DIGIT = '\\d'  # no Servicer\n",
            ".venv/lib/app.py": FASTAPI,
            "tests/test_app.py": FASTAPI,
        },
    )
    drafted, topology = written(tmp_path)
    assert drafted.origin == "what this folder holds"
    assert topology.protos == (tmp_path / "proto",)
    assert topology.services == (
        Service("billing", Http((8001,), app="app.api:app"), root=tmp_path / "services/billing"),
        Service("orders", Http((5003,), app="orders.main:app"), root=tmp_path / "services/orders/src"),
        Service(
            "users",
            Http((8002,), app="app:create_app()"),
            Grpc(50061, ("grpc_server:UserServicer",)),
            root=tmp_path / "services/users",
        ),
        Service("web", Http((3100,)), root=tmp_path / "web", command="npm run dev"),
    )


def test_one_package_is_one_service_and_two_with_an_app_are_two(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write(one, {"shop/__init__.py": "", "shop/web.py": FASTAPI, "shop/rpc.py": SERVICER})
    assert written(one)[1].services == (
        Service("one", Http((8001,), app="shop.web:app"), Grpc(50061, ("shop.rpc:UserServicer",)), root=one),
    )
    packages = {f"shop/{name}/__init__.py": "" for name in ("users", "orders", ".")}
    write(two, {**packages, "shop/users/app.py": FASTAPI, "shop/orders/app.py": FASTAPI})
    assert written(two)[1].services == (
        Service("orders", Http((8001,), app="shop.orders.app:app"), root=two),
        Service("users", Http((8002,), app="shop.users.app:app"), root=two),
    )


def test_where_there_is_nothing_an_example_is_written(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    drafted, topology = written(tmp_path)
    assert drafted.origin == "an example"
    assert topology.listener_names() == ["web.http", "greeter.grpc"]
    for path, text in drafted.files.items():
        if path.suffix == ".py":
            ast.parse(text)


@pytest.mark.parametrize("file", ["mesh.toml", "proto/greeter.proto", "tests/test_hello.py"])
def test_nothing_is_overwritten(tmp_path: Path, file: str) -> None:
    write(tmp_path, {file: "# mine\n"})
    with pytest.raises(UsageError) as refused:
        draft(tmp_path)
    assert file in str(refused.value)
    assert (tmp_path / file).read_text() == "# mine\n"


def test_no_example_is_written_into_a_folder_with_code(tmp_path: Path) -> None:
    write(tmp_path, {"shop/prices.py": "PRICE = 5\n"})
    with pytest.raises(UsageError) as refused:
        draft(tmp_path)
    assert str(refused.value) == (
        f"no service was found in {tmp_path}: no Compose file or Procfile with one, and no Python file that has an "
        "application or starts a server; declare them in a mesh.toml"
    )


def test_an_empty_compose_file_leaves_the_folders_to_be_looked_at(tmp_path: Path) -> None:
    write(tmp_path, {"compose.yaml": "", "web/app.py": FASTAPI})
    assert written(tmp_path)[1].services == (Service("web", Http((8001,), app="app:app"), root=tmp_path / "web"),)


def test_a_pyproject_that_declares_a_topology_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": '[tool.mesh.services.a]\ncommand = "x"\n'})
    with pytest.raises(
        UsageError, match=r"^pyproject\.toml already declares a topology; edit it, and see `mesh check`$"
    ):
        draft(tmp_path)


def test_a_folder_that_only_a_container_may_read_is_passed_over(tmp_path: Path) -> None:
    """Databases in containers make such folders in projects, for a user of their own."""
    write(tmp_path, {"web/app.py": FASTAPI, "web/pgdata/PG_VERSION": "16\n", "pgdata/base/1": ""})
    expected = draft(tmp_path).text
    closed = [tmp_path / "pgdata", tmp_path / "web" / "pgdata"]
    around = [place for place in tmp_path.parents if place.name.startswith(("pytest-", "popen-"))]
    for place, mode in {**dict.fromkeys(closed, 0), **dict.fromkeys(around, 0o711), tmp_path: 0o755}.items():
        place.chmod(mode)
    is_superuser = os.geteuid() == 0
    try:
        if is_superuser:
            os.seteuid(65534)
        with pytest.raises(PermissionError):
            (closed[0] / "base").stat()
        assert draft(tmp_path).text == expected
    finally:
        if is_superuser:
            os.seteuid(0)
        for place in (*closed, *around):
            place.chmod(0o700)
