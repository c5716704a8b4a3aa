"""Which Python a project asks for, and where it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mesh.hosting.packages.pythons import asked_python, python_of
from mesh.hosting.packages.requirement_files import requirement_files


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        (".python-version", "3.13\n", (3, 13)),
        (".python-version", "cpython-3.12.4\n", (3, 12)),
        ("Pipfile", '[requires]\npython_version = "3.9"\n', (3, 9)),
        ("Dockerfile", "FROM python:3.8-slim-bullseye\nRUN pip install flask==1.0\n", (3, 8)),
        ("Dockerfile.dev", "from --platform=linux/amd64 docker.io/library/python:3.10.2 AS app\n", (3, 10)),
        ("Dockerfile", "FROM node:20.1\nFROM python:3.11 AS build\nFROM python:3.12-slim\n", (3, 12)),
        ("Dockerfile", "FROM python:latest\n", None),
        ("Dockerfile", "FROM tiangolo/uvicorn-gunicorn-fastapi:python3.8\n", None),
        (".python-version", "pypy\n", None),
        ("Pipfile", "[requires\n", None),
    ],
)
def test_the_files_of_a_project_ask_for_a_python(
    tmp_path: Path, name: str, text: str, version: tuple[int, int] | None
) -> None:
    (tmp_path / "users").mkdir()
    (tmp_path / name).write_text(text)
    assert asked_python(tmp_path / "users", tmp_path) == (None if version is None else (name, version))


def test_a_program_that_cannot_make_environments_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placeholder, real = tmp_path / "python3.16", tmp_path / "versions" / "3.16.1" / "bin" / "python"
    real.parent.mkdir(parents=True)
    for file, text in ((placeholder, "exit 127"), (real, f'exec {sys.executable} "$@"')):
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "elsewhere"))
    assert python_of((3, 16)) is None
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert python_of((3, 16)) == real
    assert python_of((sys.version_info[0], sys.version_info[1])) == Path(sys.executable)


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ('[project]\nrequires-python = ">=3.13"\ndependencies = ["flask"]\n', ">=3.13"),
        ('[tool.poetry.dependencies]\npython = "^3.10"\n', ">=3.10,<4"),
        ('[tool.poetry.dependencies]\npython = ">=3.9,<3.12"\n', ">=3.9,<3.12"),
        ("[tool.poetry]\n", None),
    ],
)
def test_a_pyproject_says_which_versions_it_allows(tmp_path: Path, text: str, versions: str | None) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    files = requirement_files(tmp_path, tmp_path)
    assert files is not None
    assert files.python() == versions
