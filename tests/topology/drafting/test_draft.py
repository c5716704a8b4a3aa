"""Files that `mesh init` writes, which load."""

from __future__ import annotations

import ast
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


COMPOSE = """\
name: shop
x-common: &common
  restart: always
services:
  gateway:
    <<: *common
    build: ./gateway
    command: ["uvicorn", "main:api", "--host", "0.0.0.0", "--port", "80"]
    ports:
      - "127.0.0.1:8000:80"
      - "8443:443/udp"
    environment:
      - USERS_ADDRESS=users_service:50051
      - SECRET
    depends_on:
      users_service:
        condition: service_started
      db:
        condition: service_healthy
  users_service:
    build:
      context: ./users
    container_name: users
    environment:
      DATABASE_URL: postgres://shop:${PASSWORD:-secret}@db:5432/users
      API_KEY: ${API_KEY}
      DEBUG: true
    ports:
      - target: 8080
        published: "8001"
      - "50051:50051"
    depends_on: [db]
  worker:
    build: ./users
    command: celery -A tasks worker
    env_file: .env
  frontend:
    build: ./frontend
    ports: ["3000:3000"]
  db:
    image: postgres:16
    ports: ["5433:5432"]
"""


@pytest.fixture
def composed(tmp_path: Path) -> Path:
    write(
        tmp_path,
        {
            "compose.yaml": COMPOSE,
            "gateway/main.py": FASTAPI.replace("app =", "api ="),
            "users/app.py": FLASK,
            "users/grpc_server.py": SERVICER,
            "users/proto/users.proto": 'syntax = "proto3";\n',
            "frontend/Dockerfile": 'FROM node\nEXPOSE 3000\nCMD ["npm", "run", "start"]\n',
        },
    )
    return tmp_path


def test_a_compose_file_becomes_its_services(composed: Path) -> None:
    drafted, topology = written(composed)
    assert (drafted.origin, list(drafted.files), topology.name) == ("compose.yaml", [Path("mesh.toml")], "shop")
    assert topology.services == (
        Service(
            "gateway",
            Http((8000,), app="main:api", aliases=("gateway:80",)),
            depends_on=("users-service",),
            root=composed / "gateway",
            env={"USERS_ADDRESS": "users_service:50051"},
        ),
        Service(
            "users-service",
            Http((8001,), app="app:create_app()", aliases=("users_service:8080", "users:8080")),
            Grpc(50051, ("grpc_server:UserServicer",), aliases=("users_service:50051", "users:50051")),
            root=composed / "users",
            protos=(composed / "users/proto",),
            env={"DATABASE_URL": "postgres://shop:secret@localhost:5433/users", "DEBUG": "true"},
        ),
        Service("worker", root=composed / "users", command="celery -A tasks worker"),
        Service("frontend", Http((3000,)), root=composed / "frontend", command="npm run start"),
    )


def test_a_service_that_others_wait_for_to_end_is_a_command_that_is_done(tmp_path: Path) -> None:
    compose = """
services:
  migrate:
    build: ./web
    command: python migrate.py --all
    environment: {TARGET: head}
  web:
    build: ./web
    command: uvicorn main:app
    ports: ["8000:8000"]
    depends_on:
      migrate: {condition: service_completed_successfully}
"""
    write(tmp_path, {"compose.yaml": compose, "web/main.py": FASTAPI, "web/migrate.py": "print('migrated')\n"})
    _, topology = written(tmp_path)
    migrate, web = topology["migrate"], topology["web"]
    assert (migrate.command, migrate.ready, migrate.listeners) == ("python migrate.py --all", "done", ())
    assert (migrate.root, dict(migrate.env)) == (tmp_path / "web", {"TARGET": "head"})
    assert web.depends_on == ("migrate",)


def test_the_drafted_text_is_commented_and_readable(composed: Path) -> None:
    assert (
        draft(composed).files[Path("mesh.toml")]
        == """\
# Drafted by `mesh init` from compose.yaml.
# `mesh check` reads it, `mesh up` runs it, `mesh up --only NAME` runs a part.
# db (postgres:16) is left out: mesh runs code; start it with `docker compose -f compose.yaml up -d db`

[mesh]
name = "shop"

# taken from mesh's own environment: SECRET
[services.gateway]
root = "gateway"
http = { port = 8000, app = "main:api", aliases = ["gateway:80"] }
depends_on = ["users-service"]
env = { USERS_ADDRESS = "users_service:50051" }

# DATABASE_URL points to localhost, where Compose publishes what mesh does not run
# taken from mesh's own environment: API_KEY
[services.users-service]
root = "users"
http = { port = 8001, app = "app:create_app()", aliases = ["users_service:8080", "users:8080"] }
grpc = { port = 50051, servicers = ["grpc_server:UserServicer"], aliases = ["users_service:50051", "users:50051"] }
protos = ["users/proto"]
env = { DATABASE_URL = "postgres://shop:secret@localhost:5433/users", DEBUG = "true" }

# its env_file is not read: export what it needs, or write it under env
[services.worker]
root = "users"
command = "celery -A tasks worker"

[services.frontend]
root = "frontend"
command = "npm run start"
http = { port = 3000 }
"""
    )


@pytest.mark.parametrize("name", ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"])
def test_every_name_of_a_compose_file_is_known(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: "services: {web: {build: ., ports: ['22:22']}}", "app.py": FASTAPI})
    _, topology = written(tmp_path)
    assert topology.services == (Service("web", Http((22,), app="app:app"), root=tmp_path),)


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
        ("['9000-9001:80-81']", (9000, 9001)),
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
    ("command", "app"),
    [
        ("uvicorn app.main:api --port ${PORT}", "app.main:api"),
        ("gunicorn -b 0.0.0.0:80 'app.main:make()'", "app.main:make()"),
        ('["uvicorn", "--factory", "app.main:make"]', "app.main:make()"),
        ("python -m app.main", "app.main:app"),
        ("python -u run.py", "app.main:app"),
        ("flask run --host 0.0.0.0", "app.main:app"),
    ],
)
@pytest.mark.parametrize("place", ["compose.yaml", "code/Dockerfile"])
def test_the_app_is_the_one_that_the_command_starts(tmp_path: Path, command: str, app: str, place: str) -> None:
    files = {
        "compose.yaml": "services:\n  web:\n    build: code\n    ports: ['8000:80']\n",
        "code/Dockerfile": "FROM python\n",
        "code/app/main.py": "from app.models import x\n" + FASTAPI,
    }
    files[place] += f"    command: {command}\n" if place == "compose.yaml" else f"CMD {command}\n"
    write(tmp_path, files)
    _, topology = written(tmp_path)
    assert topology.services == (Service("web", Http((8000,), app=app, aliases=("web:80",)), root=tmp_path / "code"),)


def test_services_built_from_one_folder_are_told_apart_by_their_commands(tmp_path: Path) -> None:
    compose = """\
services:
  users: {build: ., command: python users/server.py, ports: ["50051:50051"]}
  orders: {build: ., command: "uvicorn orders.app:app", ports: ["8001:8001"]}
  mail: {build: ., command: python mail.py}
"""
    write(tmp_path, {"compose.yaml": compose, "users/server.py": SERVICER, "orders/app.py": FASTAPI})
    _, topology = written(tmp_path)
    assert topology.services == (
        Service("users", grpc=Grpc(50051, ("server:UserServicer",)), root=tmp_path / "users"),
        Service("orders", Http((8001,), app="orders.app:app"), root=tmp_path),
        Service("mail", root=tmp_path, command="python mail.py"),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("services:\n  a: [\n", "compose.yaml:3:1: expected the node content, but found '<stream end>'"),
        ("- a\n", "compose.yaml: it has no table of services"),
        (
            "services: {db: {image: redis}, gone: {build: gone}}",
            "compose.yaml: it has no service that mesh could run\n"
            "db (redis) is left out: mesh runs code; start it with `docker compose -f compose.yaml up -d db`\n"
            "gone is left out: no Python code with an app or servicers, and no command, in its folder",
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


@pytest.mark.parametrize("file", ["mesh.toml", "web/app.py", "tests/test_hello.py"])
def test_nothing_is_overwritten(tmp_path: Path, file: str) -> None:
    write(tmp_path, {file: "# mine\n"})
    with pytest.raises(UsageError) as refused:
        draft(tmp_path)
    assert file in str(refused.value)
    assert (tmp_path / file).read_text() == "# mine\n"


def test_a_pyproject_that_declares_a_topology_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": '[tool.mesh.services.a]\ncommand = "x"\n'})
    with pytest.raises(
        UsageError, match=r"^pyproject\.toml already declares a topology; edit it, and see `mesh check`$"
    ):
        draft(tmp_path)
