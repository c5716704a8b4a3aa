"""Versions that a service asks for and does not get are told, and nothing else is."""

from __future__ import annotations

import importlib.metadata
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import mesh.commands
from mesh.hosting.packages.requirement_files import requirement_files
from mesh.hosting.packages.requirements import are_met, misfits, own_misfits

CLICK = version("click")


def unmet(folder: Path) -> list[str]:
    files = requirement_files(folder, folder)
    return [] if files is None else list(misfits(files))


def test_a_requirement_that_the_environment_does_not_meet_is_told_with_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "# what this service needs\n"
        "click<1  # an old one\n"
        "requests>=2\n"
        "-r other.txt\n"
        "-c no-such-file.txt\n"
        "no-such-package-anywhere==1\n"
        "click<1; sys_platform == 'amiga'\n"
        "this is no requirement\n"
    )
    (tmp_path / "other.txt").write_text("click<2\n")
    assert unmet(tmp_path) == [
        f"click<1 ({CLICK} is installed)",
        "no-such-package-anywhere==1 (not installed)",
        f"click<2 ({CLICK} is installed)",
    ]


def test_the_dependencies_of_a_pyproject_count_too(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "one"\ndependencies = ["click==0.1", "requests"]\n')
    assert unmet(tmp_path) == [f"click==0.1 ({CLICK} is installed)"]


@pytest.mark.parametrize(
    ("name", "text", "is_met"),
    [
        ("requirements.txt", "click>=8\n# no more\n", True),
        ("requirements.txt", "click<1\n", False),
        ("requirements.txt", "click>=8\n-e ./library\n", False),
        ("requirements.txt", "click>=8\n--constraint=pins.txt\n-c pins.txt\n", True),
        ("requirements.txt", "click @ https://example.org/click.whl\n", False),
        ("requirements.txt", "click>=8\n./library\n", False),
        ("requirements.txt", "", False),
        ("pyproject.toml", '[tool.poetry.dependencies]\nclick = "^8"\n', False),
        ("pyproject.toml", "[project", False),
        ("pyproject.toml", '[project]\nrequires-python = ">=3.11"\ndependencies = ["click"]\n', True),
        ("pyproject.toml", '[project]\nrequires-python = "<3.11"\ndependencies = ["click"]\n', False),
    ],
)
def test_only_what_is_compared_whole_counts_as_met(tmp_path: Path, name: str, text: str, is_met: bool) -> None:
    (tmp_path / name).write_text(text)
    files = requirement_files(tmp_path, tmp_path)
    assert files is not None
    assert are_met(files) == is_met


def test_a_broken_pyproject_and_a_folder_without_either_say_nothing(tmp_path: Path) -> None:
    assert requirement_files(tmp_path, tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[project")
    assert requirement_files(tmp_path, tmp_path) is not None
    assert unmet(tmp_path) == []


def test_what_mesh_itself_requires_is_compared_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_misfits() is None
    required = ["click<2", "nowhere>=1", "not-here; extra == 'otlp'", "elsewhere; python_version < '3'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: required)
    assert own_misfits() == (
        f"this environment does not have what mesh requires: click<2 ({CLICK} is installed), nowhere>=1 (not "
        "installed); install mesh beside the project, such as by `uv tool install mesh-runner`, or install these"
    )


@pytest.mark.parametrize("is_met", [True, False])
def test_a_failure_where_it_is_not_met_is_that_sentence_instead_of_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_met: bool
) -> None:
    def fail(**options: object) -> None:
        raise TypeError("Descriptors cannot be created directly")

    monkeypatch.setattr(mesh.commands.cli, "main", fail)
    monkeypatch.setattr(sys, "argv", ["mesh"])
    if is_met:
        with pytest.raises(TypeError):
            mesh.commands.main()
        return
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["nowhere>=1"])
    with pytest.raises(SystemExit) as ended:
        mesh.commands.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("mesh: this environment does not have what mesh requires: nowhere>=1")
