"""Dependencies in Poetry's own table, with a lock file and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.hosting.packages.requirement_files import requirement_files

LOCK = """
[[package]]
name = "click"
version = "8.1.7"

[[package]]
name = "uvloop"
version = "0.19.0"
"""


@pytest.mark.parametrize(
    ("dependencies", "wanted"),
    [
        (
            'python = "^3.10"\nclick = "^8"\nuvicorn = {version = "*", extras = ["standard"]}\n'
            "uvloop = {version = '>0.17', markers = \"sys_platform != 'win32'\"}\n"
            "more = {version = '1', optional = true}\n",
            ["click", "uvicorn[standard]", "uvloop; sys_platform != 'win32'"],
        ),
        ('click = "^8"\nown = {path = "../own"}\n', None),
        ('click = {version = "^8", python = "<3.11"}\n', None),
        ('click = [{version = "7"}, {version = "8"}]\n', None),
    ],
)
def test_the_table_is_installed_in_the_versions_of_the_lock_file(
    tmp_path: Path, dependencies: str, wanted: list[str] | None
) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(f'[tool.poetry]\nreadme = "missing.md"\n[tool.poetry.dependencies]\n{dependencies}')
    files = requirement_files(tmp_path, tmp_path)
    assert files is not None
    assert files.arguments() is None  # without versions, the build backend has to tell them
    (tmp_path / "poetry.lock").write_text(LOCK)
    locked = requirement_files(tmp_path, tmp_path)
    assert locked is not None
    assert (locked.arguments(), locked.pins()) == (wanted, ["click==8.1.7", "uvloop==0.19.0"])


def test_groups_that_poetry_installs_are_installed(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        """\
[tool.poetry]
packages = [{include = "api", from = "src"}, {include = "core", from = "src"}, {include = "tools"}]
[tool.poetry.dependencies]
python = "^3.11"
click = "^8"
[tool.poetry.dev-dependencies]
black = "^24"
[tool.poetry.group.test.dependencies]
pytest = "*"
own = {path = "../own"}
[tool.poetry.group.docs]
optional = true
[tool.poetry.group.docs.dependencies]
sphinx = "*"
"""
    )
    (tmp_path / "poetry.lock").write_text(LOCK)
    files = requirement_files(tmp_path, tmp_path)
    assert files is not None
    assert files.arguments() == ["click", "black", "pytest"]
    assert files.source_folders() == [tmp_path / "src"]


def test_groups_beside_dependencies_of_the_project_are_installed(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[project]\ndependencies = ['click>=8']\n[tool.poetry.group.dev.dependencies]\npytest = '*'\n"
    )
    (tmp_path / "poetry.lock").write_text(LOCK)
    files = requirement_files(tmp_path, tmp_path)
    assert files is not None
    assert files.arguments() == ["click>=8", "pytest"]
