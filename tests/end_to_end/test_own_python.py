"""A service whose packages are for another Python than mesh's runs by that one."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mesh.hosting.packages.pythons import pythons
from mesh.store.topology import store
from mesh.topology.loading import load
from tests.support.programs import Shell, get
from tests.support.wheels import make_wheel

MAIN = """
    import http.server
    import os
    import sys

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{sys.version_info[0]}.{sys.version_info[1]} {os.getpid()}".encode())

    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
TOML = """
    [services.users]
    root = "users"
    run = "main.py 8000"
    http = {port = 0, aliases = ["users:8000"]}
"""


@pytest.fixture
def other() -> tuple[str, Path]:
    """Return a version of Python that is not mesh's, and its interpreter."""
    found = next((each for each in pythons() if each[0] != sys.version_info[:2]), None)
    if found is None:
        pytest.skip("this machine has one Python alone")
    return ".".join(map(str, found[0])), found[1]


@pytest.fixture
def project(shell: Shell) -> Shell:
    shell.env |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
    shell.write({"mesh.toml": TOML, "users/main.py": MAIN})
    return shell


def make_for(other: tuple[str, Path], folder: Path, *packages: str) -> Path:
    """Make an environment for another Python, with these packages and an extension; return its site-packages."""
    version, python = other
    subprocess.run([python, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    found = folder / ".venv" / "lib" / f"python{version}" / "site-packages"
    for name in (*packages, "fast"):
        (found / name).mkdir()
    (found / "fast" / f"core.cpython-{version.replace('.', '')}-x86_64-linux-gnu.so").touch()
    return found


def answers_by(shell: Shell, version: str) -> None:
    """Start the mesh, and compare the Python that answers and the process that it is in."""
    mesh = shell.up()
    told = f"mesh: users: its environment is for Python {version}: it runs by that, in its own process\n"
    mesh.wait_for(lambda: told in mesh.err)
    found, pid = get(mesh.http("users")).text.split()
    assert found == version
    assert int(pid) != mesh.process.pid
    shell.write({"users/main.py": f"{textwrap.dedent(MAIN)}# edited\n"})
    mesh.wait_for(lambda: any("(main.py)" in each.get("text", "") for each in mesh.events()))
    assert get(mesh.http("users")).text.split()[1] != pid
    assert mesh.end(signal.SIGTERM) == 143


def test_what_excludes_mesh_s_python_is_installed_for_and_run_by_one_that_it_allows(
    project: Shell, other: tuple[str, Path]
) -> None:
    version, _ = other
    needs = f'[project]\nname = "users"\nversion = "1"\nrequires-python = "=={version}.*"\n'
    needs += "dependencies = []\n[tool.poetry]\n"
    project.write({"users/pyproject.toml": needs})
    done = project.run("install")
    assert done.process.returncode == 0, done.text()
    answers_by(project, version)


def test_what_mesh_s_python_cannot_install_is_tried_with_the_one_of_its_dockerfile(
    project: Shell, other: tuple[str, Path], tmp_path: Path
) -> None:
    version, _ = other
    own = ".".join(map(str, sys.version_info[:2]))
    # For mesh's version alone, there is no such package.
    project.write({"users/requirements.txt": f"no-such-package; python_version == '{own}'\n"})
    assert project.run("install").process.returncode == 1
    project.write({"users/Dockerfile": f"FROM python:{version}-slim\n"})
    done = project.run("install")
    assert done.process.returncode == 0, done.text()
    assert any(f"Dockerfile asks for Python {version}, which is tried now" in line for line in done.err)
    answers_by(project, version)


BACKEND = """
import sys, zipfile

def build_wheel(directory, *_):
    if sys.version_info[:2] == OWN:
        raise SystemExit("it is not built for this one")
    with zipfile.ZipFile(f"{directory}/fast-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("fast.py", "")
        wheel.writestr("fast-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: fast\\nVersion: 1.0\\n")
        wheel.writestr("fast-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("fast-1.0.dist-info/RECORD", "")
    return "fast-1.0-py3-none-any.whl"
"""


def test_what_cannot_be_built_for_mesh_s_python_is_tried_with_older_ones(project: Shell) -> None:
    own = sys.version_info[:2]
    older = next((version for version, _ in pythons() if (3, 8) <= version < own), None)
    if older is None:
        pytest.skip("this machine has no older Python")
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    named = build + '[project]\nname = "fast"\nversion = "1.0"\n'
    project.write({"fast/pyproject.toml": named, "fast/backend.py": BACKEND.replace("OWN", str(own))})
    project.write({"users/requirements.txt": f"{project.folder / 'fast'}\n"})
    done = project.run("install")
    assert done.process.returncode == 0, done.text()
    version = ".".join(map(str, older))
    assert any(f"ended with status 1; Python {version} is tried now" in line for line in done.err)
    assert "it is not built for this one" not in done.text() or "uv" in done.text()
    answers_by(project, version)


def test_an_environment_with_extensions_for_another_python_is_run_by_that(
    project: Shell, other: tuple[str, Path]
) -> None:
    make_for(other, project.folder / "users")
    answers_by(project, other[0])


def serving(option: str) -> str:
    """Return a main that prints its arguments, and answers on the port that follows this one."""
    main = textwrap.dedent(MAIN).replace("int(sys.argv[1])", f"int(sys.argv[sys.argv.index('{option}') + 1])")
    return f"import os\nprint('told', *__import__('sys').argv[1:], os.environ.get('FLASK_APP'), flush=True)\n{main}"


@pytest.mark.parametrize(
    ("server", "app", "words"),
    [
        ("uvicorn", "main:app", "main:app --port PORT"),
        ("uvicorn", "main:make()", "main:make --port PORT --factory"),
        ("flask", "main:make()", "run --port PORT main:make()"),
    ],
)
def test_an_application_for_another_python_is_served_by_the_server_of_its_environment(
    project: Shell, other: tuple[str, Path], server: str, app: str, words: str
) -> None:
    version, _ = other
    project.write({"mesh.toml": f'[services.users]\nroot = "users"\nhttp = {{port = 0, app = "{app}"}}\n'})
    packages = make_for(other, project.folder / "users", server)
    (packages / server / "__main__.py").write_text(serving("--port"))
    mesh = project.up()
    assert get(mesh.http("users")).text.split()[0] == version
    port = mesh.http("users").rpartition(":")[2].strip("/")
    assert any(f"told {words.replace('PORT', port)}" in each.get("text", "") for each in mesh.events())
    assert mesh.end(signal.SIGTERM) == 143


def test_what_mesh_s_python_cannot_import_is_installed_for_the_one_of_its_dockerfile(
    project: Shell, other: tuple[str, Path], tmp_path: Path
) -> None:
    version, _ = other
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    backend = BACKEND.replace("== OWN", "== ()")
    code = f"import sys\\nassert sys.version_info[:2] != {sys.version_info[:2]}"
    project.write(
        {
            "fast/pyproject.toml": build + '[project]\nname = "fast"\nversion = "1.0"\n',
            "fast/backend.py": backend.replace('"fast.py", ""', f'"fast/__init__.py", "{code}"').replace(
                'RECORD", ""', 'RECORD", "fast/__init__.py,,"'
            ),
            "users/requirements.txt": f"{project.folder / 'fast'}\n",
            "users/Dockerfile": f"FROM python:{version}-slim\n",
        }
    )
    done = project.run("install")
    assert done.process.returncode == 0, done.text()
    told = f"mesh's Python cannot import fast; Dockerfile asks for Python {version}, which is tried now ...\n"
    assert told in done.err
    answers_by(project, version)


def test_an_application_for_another_python_gets_a_server_where_it_has_none(
    project: Shell, other: tuple[str, Path], tmp_path: Path
) -> None:
    version, _ = other
    needs = f'[project]\nname = "users"\nversion = "1"\nrequires-python = "=={version}.*"\ndependencies = []\n'
    make_wheel(tmp_path, "uvicorn", "1.0", {"uvicorn/__init__.py": "", "uvicorn/__main__.py": serving("--port")})
    project.env |= {"PIP_FIND_LINKS": str(tmp_path), "UV_FIND_LINKS": str(tmp_path)}
    project.write({"mesh.toml": '[services.users]\nroot = "users"\nhttp = {port = 0, app = "main:app"}\n'})
    project.write({"users/pyproject.toml": f"{needs}[tool.poetry]\n", "users/main.py": "app = None\n"})
    done = project.run("install")
    assert done.process.returncode == 0, done.text()
    assert "installing uvicorn, which serves users there ...\n" in done.err
    mesh = project.up()
    assert get(mesh.http("users")).text.split()[0] == version
    assert mesh.end(signal.SIGTERM) == 143


def test_the_store_stays_in_mesh_beside_an_environment_for_another_python(
    project: Shell, other: tuple[str, Path]
) -> None:
    make_for(other, project.folder, "flask", "uvicorn")
    topology = load("store", project.folder, store)
    assert [service.command for service in topology] == [None] * 4
    assert topology.remarks == ()
