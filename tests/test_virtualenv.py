"""Virtual environments on the disk: found by what a table says, or by where they lie."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mesh.virtualenv import Virtualenv, nearest_virtualenv
from tests.support.virtualenvs import make_virtualenv

HERE = sys.version_info[:2]


def test_an_environment_its_python_and_its_packages_are_one(tmp_path: Path) -> None:
    packages = make_virtualenv(tmp_path / ".venv")
    expected = Virtualenv((packages,), tmp_path / ".venv", tmp_path / ".venv" / "bin" / "python", HERE)
    for path in (tmp_path / ".venv", tmp_path / ".venv" / "bin" / "python", packages):
        assert Virtualenv.at(path) == expected


def test_a_folder_of_packages_needs_no_environment(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "python3.12" / "site-packages"
    folder.mkdir(parents=True)
    assert Virtualenv.at(folder) == Virtualenv((folder,), version=(3, 12))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gone", "there is no such file or folder"),
        ("file", "this Python is not in a virtual environment (a folder with pyvenv.cfg)"),
        ("folder", "expected a virtual environment (with pyvenv.cfg), its python, or a site-packages folder"),
    ],
)
def test_anything_else_is_told(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=re.escape(problem)):
        Virtualenv.at(tmp_path / name)


def test_the_nearest_one_up_to_the_project_is_found(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    for folder in (tmp_path / ".venv", project / "users" / "venv", project / ".venv"):
        make_virtualenv(folder)
    roots = {"users/app": "users/venv", "users": "users/venv", "orders": ".venv", "": ".venv"}
    for root, expected in roots.items():
        (project / root).mkdir(exist_ok=True)
        found = nearest_virtualenv(project / root, project)
        assert found is not None
        assert found.prefix == project / expected
    (tmp_path / "elsewhere").mkdir()
    elsewhere = nearest_virtualenv(tmp_path / "elsewhere", project)
    assert elsewhere is not None
    assert elsewhere.prefix == project / ".venv"


def test_without_one_in_the_project_there_is_none(tmp_path: Path) -> None:
    make_virtualenv(tmp_path / ".venv")
    (tmp_path / "shop" / "users").mkdir(parents=True)
    assert nearest_virtualenv(tmp_path / "shop" / "users", tmp_path / "shop") is None


def test_that_of_mesh_is_known_for_its_own() -> None:
    assert Virtualenv.at(Path(sys.prefix)).is_mesh_own()


def test_packages_of_its_base_python_count_if_it_includes_them(tmp_path: Path) -> None:
    base = tmp_path / "base" / "lib" / f"python{HERE[0]}.{HERE[1]}" / "site-packages"
    base.mkdir(parents=True)
    packages = make_virtualenv(tmp_path / ".venv")
    (tmp_path / ".venv" / "pyvenv.cfg").write_text(f"home = {tmp_path}/base/bin\ninclude-system-site-packages = true\n")
    assert Virtualenv.at(tmp_path / ".venv").packages == (packages, base)
