"""Services found in folders without a Compose file; each kind is one that a public repository has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.topology.drafting.draft import draft
from mesh.topology.loading import load
from mesh.topology.model import Grpc, Http, Service, Topology

FASTAPI = "from fastapi import FastAPI\n\napp = FastAPI()\n"


def found(folder: Path, files: dict[str, str]) -> Topology:
    """Write the files, and load what is drafted from them; it passes its own check."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load(None, folder, lambda: pytest.fail("nothing was found"))


def test_a_main_that_starts_a_server_is_run(tmp_path: Path) -> None:
    """What is made below `__main__`, or needs arguments, is no servicer to name (I12)."""
    server = """\
import grpc, users_pb2_grpc

class Users(users_pb2_grpc.UsersServicer):
    def __init__(self, database): ...

if __name__ == "__main__":
    server = grpc.server(None)
    users_pb2_grpc.add_UsersServicer_to_server(Users("db"), server)
    server.add_insecure_port("[::]:8080")
    server.start()
"""
    topology = found(
        tmp_path,
        {
            "users/server.py": server,
            "users/users_pb2_grpc.py": "class UsersServicer: ...\n",
            "web/app.py": FASTAPI + "if __name__ == '__main__':\n    import uvicorn\n    uvicorn.run(app, port=9000)\n",
        },
    )
    assert topology.services == (
        Service("users", grpc=Grpc(8080), root=tmp_path / "users", run="python server.py"),
        Service("web", Http((9000,)), root=tmp_path / "web", run="python app.py"),
    )


def test_relative_imports_are_run_as_a_module_above_their_package(tmp_path: Path) -> None:
    """A folder without `__init__.py` whose modules import each other relatively (I3)."""
    main = "from .model import x\n" + FASTAPI + "if __name__ == '__main__':\n    import uvicorn\n    uvicorn.run(app)\n"
    topology = found(tmp_path, {"orders/app/server.py": main, "orders/app/model.py": "x = 1\n"})
    assert topology.services == (
        Service("orders", Http((8000,)), root=tmp_path / "orders", run="python -m app.server"),
    )


def test_bare_names_of_modules_beside_it_are_imported_from_its_folder(tmp_path: Path) -> None:
    """Whatever `__init__.py` there is: `app/main.py` is started in `app`."""
    main = "from model import x\n" + FASTAPI
    files = {"shop/app/src/__init__.py": "", "shop/app/src/main.py": main, "shop/app/src/model.py": ""}
    topology = found(tmp_path, files)
    root = tmp_path / "shop" / "app" / "src"
    assert [(each.name, each.root, each.http) for each in topology] == [("shop", root, Http((8001,), app="main:app"))]


def test_requirements_between_the_root_and_the_code_are_those_of_the_service(tmp_path: Path) -> None:
    """`app/api/main.py` imports `app.libs`, and what it needs is in `app/requirements.txt`."""
    main = "from app.libs.log import x\n" + FASTAPI
    files = {"app/api/main.py": main, "app/pay/main.py": main, "app/libs/log.py": "x = 1\n", "app/requirements.txt": ""}
    topology = found(tmp_path, files)
    assert [(each.root, each.requirements) for each in topology] == [(tmp_path, ("-r app/requirements.txt",))] * 2


def test_what_a_dockerfile_installs_is_required_where_no_file_says_it(tmp_path: Path) -> None:
    lines = (
        "FROM python:3.8\nRUN pip install requests==2.25.1\nCOPY ./shared /shared\nWORKDIR /shared\nRUN pip install .\n"
    )
    files = {"books/Dockerfile": lines, "books/main.py": FASTAPI, "shared/setup.py": "", "shared/library.py": ""}
    topology = found(tmp_path, files)
    assert [each.requirements for each in topology] == [("requests==2.25.1", "-e ../shared")]


_MAIN = "if __name__ == '__main__':\n    "


@pytest.mark.parametrize(
    ("call", "port"),
    [
        ("uvicorn.run(app)", 8000),
        ("app.run(debug=True)", 5000),
        ("app.run('0.0.0.0', 9001)", 9001),
        ("web.run_app(app)", 8080),
        ("uvicorn.run(app, port=settings.APP_PORT, host=settings.HOST)", 9100),
        ("uvicorn.run(app, port=int(config['APP_PORT']))", 9100),
    ],
)
def test_a_port_is_read_from_the_call_or_from_what_it_names(tmp_path: Path, call: str, port: int) -> None:
    settings = "class Settings:\n    APP_PORT: int = 9100\n    DB_PORT = 5432\n"
    topology = found(tmp_path, {"main.py": f"{FASTAPI}{_MAIN}{call}\n", "settings.py": settings})
    assert [each.http for each in topology] == [Http((port,))]


def test_a_port_that_only_the_program_knows_is_not_made_up(tmp_path: Path) -> None:
    topology = found(tmp_path, {"main.py": f"{FASTAPI}{_MAIN}uvicorn.run(app, port=settings.port())\n"})
    assert [(each.run, each.http) for each in topology] == [("python main.py", None)]
    assert "its HTTP port is known only when it runs: declare that as http = PORT" in draft(tmp_path).text


@pytest.mark.parametrize(
    ("script", "config", "port"),
    [
        ("vite", "", 5173),
        ("vite --port 4000", "export default { server: { port: 3000 } }", 4000),
        ("vite", "export default defineConfig({\n  server: {\n    host: true,\n    port: 3000,\n  },\n})", 3000),
        ("vite", "export default { server: { proxy: { '/api': 'http://a' }, port: 3001 } }", 3001),
        ("vue-cli-service serve", "module.exports = { devServer: { port: 8081 } }", 8081),
        ("react-scripts start", "", 3000),
    ],
)
def test_the_port_of_a_dev_script_is_that_of_its_configuration(
    tmp_path: Path, script: str, config: str, port: int
) -> None:
    file = "vue.config.js" if "vue" in script else "vite.config.ts"
    package = json.dumps({"scripts": {"dev": script}})
    topology = found(tmp_path, {"page/package.json": package, f"page/{file}": config})
    assert [(each.command, each.http) for each in topology] == [("npm run dev", Http((port,)))]


def test_a_name_with_its_package_has_the_root_above_it(tmp_path: Path) -> None:
    """`services.x.app.main` is imported from the repository's folder (I2)."""
    topology = found(
        tmp_path,
        {
            "services/users/app/main.py": "from services.users.app.model import x\n" + FASTAPI,
            "services/users/app/model.py": "x = 1\n",
        },
    )
    assert [(each.root, each.http) for each in topology] == [
        (tmp_path, Http((8001,), app="services.users.app.main:app"))
    ]


def test_each_application_of_a_folder_is_a_service(tmp_path: Path) -> None:
    """Not only the alphabetically first (I4)."""
    topology = found(tmp_path, {"movies.py": FASTAPI, "users.py": FASTAPI, "wsgi.py": "from users import app\n"})
    assert topology.services == (
        Service("movies", Http((8001,), app="movies:app"), root=tmp_path),
        Service("users", Http((8002,), app="users:app"), root=tmp_path),
    )


def test_a_module_that_only_names_the_application_of_a_package_is_no_service(tmp_path: Path) -> None:
    factory = "from flask import Flask\n\ndef create_app():\n    return Flask(__name__)\n"
    files = {"manage.py": "from shop import create_app\n\napp = create_app()\n", "shop/__init__.py": factory}
    (service,) = found(tmp_path, files)
    assert service.http is not None
    assert (service.root, service.http.app) == (tmp_path, "manage:app")


def test_a_main_that_runs_commands_is_no_server(tmp_path: Path) -> None:
    script = FASTAPI + "if __name__ == '__main__':\n    {}\n"
    files = {
        "app.py": script.format("app.run()"),
        "manager.py": "from app import app\n" + script.format("manager.run()"),
        "build.py": script.format("subprocess.run(['make'])"),
    }
    assert [each.run for each in found(tmp_path, files)] == ["python app.py"]


def test_each_main_of_a_folder_is_a_service(tmp_path: Path) -> None:
    main = "from flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run(port={port})\n"
    topology = found(tmp_path, {"movies.py": main.format(port=5001), "users.py": main.format(port=5002)})
    assert topology.services == (
        Service("movies", Http((5001,)), root=tmp_path, run="python movies.py"),
        Service("users", Http((5002,)), root=tmp_path, run="python users.py"),
    )


@pytest.mark.parametrize(
    "factory",
    [
        "def create_application():\n    made = FastAPI()\n    return made\n",
        "def start_up() -> FastAPI:\n    return build()\n",
        "def whatever(debug=False):\n    return FastAPI(debug=debug)\n",
    ],
)
def test_a_factory_is_known_by_what_it_returns(tmp_path: Path, factory: str) -> None:
    """And no example is written beside it (I5)."""
    name = factory[4 : factory.index("(")]
    topology = found(tmp_path, {"shop/main.py": "from fastapi import FastAPI\n\n" + factory})
    assert topology.services == (Service("shop", Http((8001,), app=f"main:{name}()"), root=tmp_path / "shop"),)


def test_an_application_is_known_by_the_call_that_makes_it(tmp_path: Path) -> None:
    topology = found(
        tmp_path,
        {"web/asgi.py": "from factory import build_application\n\napplication = build_application()  # FastAPI\n"},
    )
    assert topology.services == (Service("web", Http((8001,), app="asgi:application"), root=tmp_path / "web"),)


def test_a_django_project_is_run_by_its_own_command(tmp_path: Path) -> None:
    """It serves the files of the admin, too. Each project's port is 8000; the second keeps that as a name."""
    files = {}
    for name in ("books", "films"):
        files[f"{name}/manage.py"] = (
            "from django.core.management import execute_from_command_line\n"
            'if __name__ == "__main__":\n    execute_from_command_line()\n'
        )
        files[f"{name}/site/__init__.py"] = ""
        for kind in ("asgi", "wsgi"):
            made = f"get_{kind}_application"
            files[f"{name}/site/{kind}.py"] = f"from django.core.{kind} import {made}\n\napplication = {made}()\n"
    topology = found(tmp_path, files)
    run = "manage.py runserver"
    assert topology.services == (
        Service("books", Http((8000,)), root=tmp_path / "books", run=run),
        Service("films", Http((8001,), aliases=("films:8000",)), root=tmp_path / "films", run=run),
    )


def test_a_folder_whose_name_is_no_identifier_is_no_package(tmp_path: Path) -> None:
    """A draft passes its own check (I10)."""
    topology = found(tmp_path, {"service-book/__init__.py": "", "service-book/main.py": FASTAPI})
    assert topology.services == (
        Service("service-book", Http((8001,), app="main:app"), root=tmp_path / "service-book"),
    )


def test_the_servicer_that_is_added_is_the_one_that_serves(tmp_path: Path) -> None:
    """Not its base, which would answer UNIMPLEMENTED (I11)."""
    code = """\
import grpc, users_pb2_grpc

class BaseServicer(users_pb2_grpc.UsersServicer): ...

class Users(BaseServicer): ...

def serve(server):
    users_pb2_grpc.add_UsersServicer_to_server(Users(), server)
"""
    topology = found(tmp_path, {"users/server.py": code})
    assert topology["users"].grpc == Grpc(50051, ("server:Users",))


def test_protos_of_other_languages_are_left_alone(tmp_path: Path) -> None:
    """Only those whose modules Python code imports are compiled (I13)."""
    topology = found(
        tmp_path,
        {
            "users/server.py": "import users_pb2_grpc\n\nclass U(users_pb2_grpc.UsersServicer): ...\n",
            "protos/users.proto": 'syntax = "proto3";\n',
            "cart/carts.proto": 'syntax = "proto3";\n',
        },
    )
    assert topology.protos == (tmp_path / "protos",)


@pytest.mark.parametrize(("pins", "compiled"), [("grpcio\nprotobuf\n", True), ("protobuf==3.19.4\n", False)])
def test_modules_of_an_old_protoc_are_made_anew_unless_the_project_has_an_old_protobuf(
    tmp_path: Path, pins: str, compiled: bool
) -> None:
    files = {
        "protos/user.proto": 'syntax = "proto3";\n',
        "users/user_pb2.py": "DESCRIPTOR = _descriptor.FileDescriptor(\n)\n",
        "users/app.py": "import user_pb2\n" + FASTAPI,
        "users/requirements.txt": pins,
    }
    assert list(found(tmp_path, files).protos) == [tmp_path / "protos"] * compiled


def test_templates_beside_an_application_reload_it(tmp_path: Path) -> None:
    topology = found(tmp_path, {"web/app.py": FASTAPI, "web/templates/page.html": "<p>", "web/data/prices.json": "{}"})
    assert topology["web"].watch == ("templates", "data/**/*.json")


def test_each_process_type_of_a_procfile_is_a_service(tmp_path: Path) -> None:
    topology = found(
        tmp_path,
        {
            "Procfile": """\
release: python manage.py migrate
web: gunicorn -b 0.0.0.0:$PORT app:app
# a comment
worker: python worker.py
other: uvicorn app:app
node: node index.js
""",
            "app.py": FASTAPI,
            "worker.py": "print('at work')\n",
            "manage.py": "print('managed')\n",
        },
    )
    assert topology.origin == "Procfile"
    assert topology.source == tmp_path / "Procfile"
    assert topology.services == (
        Service("release", root=tmp_path, command="python manage.py migrate", ready="done"),
        Service("web", Http((5100,)), root=tmp_path, run="gunicorn -b 0.0.0.0:5100 app:app", depends_on=("release",)),
        Service("worker", root=tmp_path, run="python worker.py", depends_on=("release",)),
        Service("other", Http((8000,)), root=tmp_path, run="uvicorn app:app", depends_on=("release",)),
        Service("node", root=tmp_path, command="node index.js", depends_on=("release",)),
    )


def test_what_is_found_is_what_init_writes(tmp_path: Path) -> None:
    topology = found(tmp_path, {"web/app.py": FASTAPI, "users/app.py": FASTAPI})
    (tmp_path / "mesh.toml").write_text(draft(tmp_path).text)
    assert load(None, tmp_path, lambda: pytest.fail("mesh.toml was not found")).services == topology.services
