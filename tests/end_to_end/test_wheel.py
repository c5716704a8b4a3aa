"""A user's wheel: built from a clean tree by the declared requirements, and run in an environment elsewhere.

pyproject.toml pins grpcio-tools for builds, and a developer's environment holds a later one. Hence an environment of
its own for the build, filled from the package index; but one, where `python -m build` would fill two. The dependencies
of the installed wheel are those of this environment, found through a .pth file: they need not be fetched again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.support.processes import mesh_up

ROOT = Path(__file__).parents[2]
NOT_SOURCE = (".git", ".venv", ".mesh", ".*_cache", ".hypothesis", "__pycache__", "pb", "build", "dist", "*.egg-info")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST_", "MESH_"))}


@dataclass(frozen=True, slots=True)
class Built:
    sdist: Path
    wheel: Path
    pip: tuple[str, ...]


def run(*command: str | Path, cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, env=CLEAN, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist of the tree, and the wheel of the sdist."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(*NOT_SOURCE))
    run(sys.executable, "-m", "venv", folder / "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pip = (str(python), "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", *requires, cwd=folder)
    run(python, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=folder / "tree")
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    run(python, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=source)
    (wheel,) = folder.glob("*.whl")
    return Built(sdist, wheel, pip)


def test_the_sdist_holds_what_a_build_needs(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        "proto/user.proto", "proto/product.proto", "hatch_build.py", "mesh/contract/protoc.py", "LICENSE", "README.md",
        "mesh/py.typed", "tests/end_to_end/test_wheel.py",
    }  # fmt: skip
    assert not [name for name in names if name.startswith((".venv", ".mesh", ".git/"))]


def test_the_wheel_holds_the_generated_stubs_and_nothing_beside_the_package(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
        scripts = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert names >= {
        "mesh/py.typed", "mesh/store/pb/__init__.py", "mesh/store/pb/descriptors.pb",
        "mesh/store/pb/user_pb2.py", "mesh/store/pb/user_pb2.pyi", "mesh/store/pb/user_pb2_grpc.py",
        "mesh/store/pb/product_pb2.py", "mesh/store/pb/product_pb2.pyi", "mesh/store/pb/product_pb2_grpc.py",
    }  # fmt: skip
    assert {name.partition("/")[0] for name in names} == {"mesh", "mesh_runner-0.1.0.dist-info"}
    assert "mesh = mesh.commands:main" in scripts
    assert "[pytest11]\nmesh = mesh.pytest_plugin" in scripts


def test_the_installed_wheel_serves_the_store_and_ends_on_sigterm(built: Built, tmp_path: Path) -> None:
    env = tmp_path / "env"
    run(sys.executable, "-m", "venv", "--without-pip", env, cwd=tmp_path)
    run(*built.pip, "--python", str(env / "bin" / "python"), "install", "--no-deps", str(built.wheel), cwd=tmp_path)
    installed = Path(run(env / "bin" / "python", "-c", "import mesh; print(mesh.__file__)", cwd=tmp_path).strip())
    assert installed.is_relative_to(env)
    dependencies = {str(distribution(name).locate_file("")) for name in ("click", "grpcio")}
    (installed.parents[1] / "dependencies.pth").write_text("\n".join(dependencies))

    project = tmp_path / "project"
    project.mkdir()
    with mesh_up(project, command=(str(env / "bin" / "mesh"),), env=CLEAN) as running:
        url = f"{running.http('gateway')[1]}/api/grpc/users/1"
        answer = run("curl", "--silent", "--show-error", "--fail", "--noproxy", "*", url, cwd=project)
        assert answer == '{"id":1,"name":"Ada Lovelace","email":"ada@example.com"}'
        assert running.end(signal.SIGTERM) == 143
