"""`mesh install` and the environments that it makes, from wheels in a folder."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.support.programs import Shell, get
from tests.support.wheels import make_wheel

TOML = """
    [services.users]
    root = "users"
    http = {port = 0, app = "app:app"}

    [services.orders]
    root = "orders"
    http = {port = 0, app = "app:app"}

    [services.plain]
    root = "plain"
    http = {port = 0, app = "app:app"}
"""
APP = """
    import greeting

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": greeting.TEXT.encode()})
"""
PLAIN = APP.replace("import greeting", "").replace("greeting.TEXT", "'plain'")


@pytest.fixture(params=["pip", "uv"])
def project(shell: Shell, tmp_path: Path, request: pytest.FixtureRequest) -> Shell:
    """Two services that need `greeting` and one that needs nothing; one of the tools, which sees our wheels alone."""
    wheels, programs = tmp_path / "wheels", tmp_path / "bin"
    for folder in (wheels, programs):
        folder.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(wheels, "greeting", version, {"greeting.py": f"TEXT = 'hello {version}'\n"})
    if request.param == "uv":
        (programs / "uv").symlink_to(Path(sys.executable).parent / "uv")
    shell.env |= {
        "PATH": f"{programs}:/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": "/dev/null",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(wheels),
        "UV_NO_CONFIG": "1",
    }
    shell.write({"mesh.toml": TOML, "users/app.py": APP, "orders/app.py": APP, "plain/app.py": PLAIN})
    shell.write({"users/requirements.txt": "greeting==1.0\n", "orders/requirements.txt": "greeting==1.0\n"})
    return shell


def environments(shell: Shell) -> list[Path]:
    return [each for each in (shell.folder / ".mesh" / "venvs").iterdir() if each.is_dir()]


def test_services_run_with_what_was_installed_for_them(project: Shell) -> None:
    before = project.up()
    said = before.wait_for(lambda: [each for each in before.events() if "it requires" in each.get("text", "")])
    assert said[0]["text"] == "it requires greeting==1.0 (not installed); `mesh install` makes an environment for it"
    before.end(signal.SIGTERM)
    done = project.run("install")
    assert done.process.returncode == 0, done.text()
    (made,) = environments(project)
    assert done.out == [
        f"users: uses .mesh/venvs/{made.name}\n",
        f"orders: uses .mesh/venvs/{made.name}\n",  # the same requirements: one environment
        "plain: has no requirements to install\n",
    ]
    again = project.run("install", "users")
    assert (again.out, again.err) == ([f"users: uses .mesh/venvs/{made.name}\n"], [])
    mesh = project.up()
    assert [get(mesh.http(name)).text for name in ("users", "orders", "plain")] == ["hello 1.0", "hello 1.0", "plain"]
    assert mesh.end(signal.SIGTERM) == 143


def test_other_requirements_make_another_environment(project: Shell) -> None:
    project.write({"orders/pyproject.toml": '[project]\nname = "orders"\ndependencies = ["greeting"]\n'})
    project.write({"orders/uv.lock": '[[package]]\nname = "greeting"\nversion = "1.0"\nsource = {registry = "x"}\n'})
    (project.folder / "orders" / "requirements.txt").unlink()
    project.write({"users/requirements.txt": "-r more.txt\n", "users/more.txt": "greeting==2.0\n"})
    assert project.run("install").process.returncode == 0
    assert len(environments(project)) == 2
    mesh = project.up()
    assert [get(mesh.http(name)).text for name in ("users", "orders")] == ["hello 2.0", "hello 1.0"]
    mesh.end(signal.SIGTERM)


#: A build backend that knows the dependencies, as Poetry's does, of a project that is no package.
BACKEND = """
    import pathlib

    def prepare_metadata_for_build_wheel(folder, config_settings=None):
        place = pathlib.Path(folder, "users-1.dist-info")
        place.mkdir()
        about = "Metadata-Version: 2.1\\nName: users\\nVersion: 1\\nProvides-Extra: more\\n"
        needs = "Requires-Dist: greeting<2\\nRequires-Dist: missing; extra == 'more'\\n"
        (place / "METADATA").write_text(about + needs)
        return place.name

    def build_wheel(folder, config_settings=None, metadata_directory=None):
        raise ValueError("users is no package")
"""
POETRY = """
    [tool.poetry.dependencies]
    greeting = "^1"

    [build-system]
    requires = []
    build-backend = "backend"
    backend-path = ["."]
"""


def test_dependencies_that_only_the_build_backend_knows_are_installed(project: Shell) -> None:
    (project.folder / "users" / "requirements.txt").unlink()
    project.write({"users/pyproject.toml": POETRY, "users/backend.py": BACKEND})
    done = project.run("install", "users")
    assert done.process.returncode == 0, done.text()
    mesh = project.up("--only", "users")
    assert get(mesh.http("users")).text == "hello 1.0"
    mesh.end(signal.SIGTERM)


def test_packages_in_a_folder_of_the_project_are_found_as_if_it_were_installed(project: Shell) -> None:
    """Poetry's installation makes them importable; the service runs elsewhere."""
    (project.folder / "users" / "requirements.txt").unlink()
    poetry = (
        '[tool.poetry]\npackages = [{include = "shop", from = "source"}]\n[tool.poetry.dependencies]\ngreeting = "1"\n'
    )
    project.write(
        {"users/pyproject.toml": poetry, "users/poetry.lock": '[[package]]\nname="greeting"\nversion="1.0"\n'}
    )
    project.write(
        {"users/source/shop/__init__.py": "TEXT = 'a shop'\n", "users/api/app.py": APP.replace("greeting", "shop")}
    )
    project.write({"mesh.toml": '[services.users]\nroot = "users/api"\nhttp = {port = 0, app = "app:app"}\n'})
    assert project.run("install").process.returncode == 0
    mesh = project.up()
    assert get(mesh.http("users")).text == "a shop"
    mesh.end(signal.SIGTERM)


def test_what_cannot_be_installed_is_told_in_the_tools_words_and_leaves_nothing(project: Shell) -> None:
    project.write({"users/requirements.txt": "greeting==3.0\n"})
    done = project.run("install")
    assert done.process.returncode == 1
    assert "greeting==3.0" in done.text()
    tool = "uv" if Path(project.env["PATH"].split(":")[0], "uv").exists() else "pip"
    assert f"mesh: users: {tool} ended with status 1; what it said is above\n" in done.err
    (made,) = environments(project)  # that of orders
    assert f"orders: uses .mesh/venvs/{made.name}\n" in done.out


def test_ctrl_c_leaves_nothing_half_made(project: Shell) -> None:
    tool = Path(project.env["PATH"].split(":")[0], "uv")
    tool.unlink(missing_ok=True)
    tool.write_text('#!/bin/sh\nmkdir -p "$5/bin"; echo waits; exec sleep 1000\n')
    tool.chmod(0o755)
    install = project.start("install")
    install.wait_for(lambda: "waits\n" in install.err)
    (begun,) = environments(project)
    assert (begun / "bin").is_dir()
    assert install.end(signal.SIGINT) == 130
    assert environments(project) == []


def test_a_name_of_no_service_is_a_mistake(project: Shell) -> None:
    done = project.run("install", "user")
    assert (done.process.returncode, done.out) == (2, [])
    assert done.err == [
        "mesh: no service is named 'user'; did you mean 'users'? known services: users, orders, plain\n"
    ]


def test_code_for_another_python_is_told_before_anything_is_made(project: Shell) -> None:
    (project.folder / "users" / "requirements.txt").unlink()
    pyproject = '[project]\nname = "users"\nversion = "1"\nrequires-python = ">=3.99"\ndependencies = ["greeting==1"]\n'
    (project.folder / "users" / "pyproject.toml").write_text(pyproject)
    installed = project.run("install", "users")
    assert installed.process.returncode == 1
    own = ".".join(map(str, sys.version_info[:3]))
    assert installed.err[-1] == (
        f"mesh: users: pyproject.toml of {project.folder / 'users'} requires Python >=3.99, which is not found here, "
        f"and mesh runs with {own}; install it, such as by `uv python install`\n"
    )
    assert not any(each.is_dir() for each in (project.folder / ".mesh" / "venvs").iterdir())


def test_what_a_dockerfile_installs_is_installed(project: Shell) -> None:
    (project.folder / "mesh.toml").unlink()
    compose = """
        services:
          users:
            build: users
            command: python main.py
            ports: ["8000:8000"]
    """
    main = """
        import http.server
        import greeting

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(greeting.TEXT.encode())

        http.server.HTTPServer(("", 8000), Handler).serve_forever()
    """
    dockerfile = "FROM python\nCOPY deploy/all.txt .\nRUN pip install -r all.txt\nCOPY . .\n"
    project.write({"compose.yaml": compose, "users/main.py": main, "users/Dockerfile": dockerfile})
    project.write({"users/requirements.txt": "greeting==2.0\n", "users/deploy/all.txt": "greeting==1.0\n"})
    assert project.run("install").process.returncode == 0
    mesh = project.up("--free-ports")
    assert get(mesh.http("users")).text == "hello 1.0"
    mesh.end(signal.SIGTERM)


def test_a_pipfile_is_installed_in_the_versions_of_its_lock_file(project: Shell) -> None:
    (project.folder / "users" / "requirements.txt").unlink()
    project.write({"users/Pipfile": '[packages]\ngreeting = "*"\n'})
    project.write({"users/Pipfile.lock": '{"default": {"greeting": {"version": "==1.0"}}, "develop": {}}'})
    assert project.run("install", "users").process.returncode == 0
    mesh = project.up("--only", "users")
    assert get(mesh.http("users")).text == "hello 1.0"
    mesh.end(signal.SIGTERM)
