"""Files of requirements: where the paths in them lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.hosting.packages.requirement_files import requirement_files, requirements_of
from mesh.topology.model import Service


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("requests\n-e ../library\n", "users"),
        ("--editable=../library[fast]\n", "users"),
        ("../library # ours\n", "users"),
        ("-e ./library\n", "."),
        ("-e .\n", "."),
        ("-e ../elsewhere\n", "."),
        ("requests==2.0\n-e git+https://host.test/library\n", "."),
    ],
)
def test_local_paths_are_relative_to_the_file_that_has_them_where_they_are_there(
    tmp_path: Path, text: str, folder: str
) -> None:
    for name in ("users", "library"):
        (tmp_path / name).mkdir()
    (tmp_path / "library" / "setup.py").touch()
    (tmp_path / "setup.py").touch()
    (tmp_path / "users" / "needs.txt").write_text(text)
    service = Service("users", root=tmp_path, requirements=("-r users/needs.txt",))
    files = requirements_of(service, tmp_path)
    assert files is not None
    assert files.working_folder() == tmp_path / folder


@pytest.mark.parametrize(
    ("uv", "wanted"),
    [
        ("", ["click>=8", "pytest>=8", "ruff"]),
        ('default-groups = ["lint"]', ["click>=8", "ruff"]),
        ("default-groups = []", ["click>=8"]),
        ('default-groups = "all"\ndev-dependencies = ["black"]', ["click>=8", "pytest>=8", "ruff", "black", "ruff"]),
        ('default-groups = ["lint"]\ndev-dependencies = ["black"]', ["click>=8", "ruff"]),
        ("sources = { Ruff = { workspace = true } }", ["click>=8", "pytest>=8"]),
    ],
)
def test_groups_that_uv_installs_are_installed(tmp_path: Path, uv: str, wanted: list[str]) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f"""\
[project]
name = "shop"
dependencies = ["click>=8"]
[dependency-groups]
dev = ["pytest>=8", {{include-group = "lint"}}]
lint = ["ruff"]
[tool.uv]
{uv}
"""
    )
    files = requirement_files(tmp_path, tmp_path)
    assert files is not None
    assert files.arguments() == ["click>=8"]
    (tmp_path / "uv.lock").write_text("")
    locked = requirement_files(tmp_path, tmp_path)
    assert locked is not None
    assert locked.arguments() == wanted


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["requirements.txt", "requirements-dev.txt"], ["requirements.txt"]),
        (["requiriments.txt", "requests.txt"], ["requiriments.txt"]),
        (["requirements-dev.txt", "requirements-web.txt"], ["requirements-dev.txt", "requirements-web.txt"]),
        (["reqs.txt"], ["reqs.txt"]),
        (["requirement.txt", "requirements.txt"], ["requirements.txt"]),
        (["requirements37.txt", "req.txt"], ["requirements37.txt"]),
        (["requests.txt", "required.txt"], None),
    ],
)
def test_files_are_known_by_their_names(tmp_path: Path, names: list[str], taken: list[str] | None) -> None:
    for name in names:
        (tmp_path / name).touch()
    files = requirement_files(tmp_path, tmp_path)
    assert (files and [file.name for file in files.files]) == taken
