"""Packages of Node: which services need them, and by what they are installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.hosting.packages.node_packages import NodePackages, node_packages
from mesh.topology.model import Service

PACKAGE = json.dumps({"dependencies": {"express": "4"}})


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder on PATH, whose npm and yarn write down how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("npm", "yarn"):
        (folder / name).write_text(f'#!/bin/sh\n/bin/mkdir node_modules\necho "{name} $@" > called\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.parametrize(
    ("lock", "called"),
    [
        ("package-lock.json", "npm ci"),
        ("yarn.lock", "yarn install --frozen-lockfile"),
        ("pnpm-lock.yaml", "npm install --no-package-lock"),  # pnpm is not there
        ("README.md", "npm install --no-package-lock"),
    ],
)
def test_the_tool_whose_lock_file_there_is_installs_them(tmp_path: Path, tools: Path, lock: str, called: str) -> None:
    (tmp_path / "package.json").write_text(PACKAGE)
    (tmp_path / lock).touch()
    packages = node_packages(Service("web", command="npm start", root=tmp_path), tmp_path)
    assert packages is not None
    assert not packages.are_there
    told: list[str] = []
    packages.install(told.append)
    assert (tmp_path / "called").read_text() == f"{called}\n"
    assert told == [f"installing package.json of {tmp_path} with {called.split()[0]}"]
    assert packages.are_there


def test_an_attempt_that_fails_leaves_nothing(tmp_path: Path, tools: Path) -> None:
    (tmp_path / "package.json").write_text(PACKAGE)
    (tools / "npm").write_text("#!/bin/sh\n/bin/mkdir node_modules\nexit 3\n")
    with pytest.raises(MeshError, match=r"^npm ended with status 3; what it said is above$"):
        NodePackages(tmp_path).install(lambda text: None)
    assert not (tmp_path / "node_modules").exists()
    (tools / "npm").unlink()
    with pytest.raises(MeshError, match=r"package\.json needs npm, which is not installed$"):
        NodePackages(tmp_path).install(lambda text: None)


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (None, PACKAGE),
        ("python manage.py migrate", PACKAGE),
        ("npm start", None),
        ("npm start", "{}"),
        ("npm start", "[]"),
        ("npm start", "{broken"),
    ],
)
def test_other_services_need_none(tmp_path: Path, command: str | None, package: str | None) -> None:
    if package is not None:
        (tmp_path / "package.json").write_text(package)
    assert node_packages(Service("web", command=command, root=tmp_path), tmp_path) is None
