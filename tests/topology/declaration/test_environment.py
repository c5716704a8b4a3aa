"""The variables of services in mesh.toml: interpolated values, and files of variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.topology.declaration.mistakes import TopologyError
from mesh.topology.loading import load
from mesh.topology.model import Topology


def loaded(folder: Path, **files: str) -> Topology:
    """Load the mesh.toml among the files; `_` in their names stands for a dot."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return load(None, folder, lambda: pytest.fail("mesh.toml was not found"))


SERVICE = '[services.web]\ncommand = "true"\n'


def test_values_are_interpolated_from_the_environment_and_then_from_dotenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", "ada")
    monkeypatch.delenv("PLACE", raising=False)
    topology = loaded(
        tmp_path,
        mesh_toml=SERVICE + 'env = { A = "${WHO} at ${PLACE}", B = "5$$", C = "${NONE:-none}", D = 8 }\n',
        _env="WHO=bob\nPLACE=home\n",
    )
    assert topology["web"].env == {"A": "ada at home", "B": "5$", "C": "none", "D": "8"}
    assert topology.files == {tmp_path / ".env"}
    assert topology.remarks == ()


def test_the_service_s_own_values_come_before_later_files_and_these_before_earlier_ones(tmp_path: Path) -> None:
    topology = loaded(
        tmp_path,
        mesh_toml=SERVICE
        + 'env_file = ["one.env", "two.env", { path = "gone.env", required = false }]\nenv = { A = "own" }\n',
        one_env="A=1\nB=1\nC=1\n",
        two_env="A=2\nB=2\n",
    )
    assert topology["web"].env == {"A": "own", "B": "2", "C": "1"}
    assert topology.files == {tmp_path / "one.env", tmp_path / "two.env", tmp_path / "gone.env"}


def test_one_file_is_named_without_a_list(tmp_path: Path) -> None:
    assert loaded(tmp_path, mesh_toml=SERVICE + 'env_file = "a.env"\n', a_env="A=${B:-b}\n")["web"].env == {"A": "b"}


def test_a_variable_without_a_value_is_left_empty_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOBODY", raising=False)
    topology = loaded(tmp_path, mesh_toml=SERVICE + 'env = { A = "<${NOBODY}>" }\n')
    assert topology["web"].env == {"A": "<>"}
    assert topology.remarks == ("services.web.env.A names the variable NOBODY, which has no value; it is left empty",)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('env_file = "no.env"', "env_file: no such file: FOLDER/no.env; with required = false it may be missing"),
        ('env_file = "bad.env"', "env_file: bad.env: line 2: expected NAME=value, not 'what is this'"),
        (
            "env_file = 1",
            'env_file: expected a path such as "users.env", or { path = "users.env", required = false }, '
            "or a list of them, not 1",
        ),
        (
            'env_file = { path = "a.env", required = "no" }',
            'env_file: expected a path such as "users.env", or '
            '{ path = "users.env", required = false }, or a list of them, not {"path": "a.env", "required": "no"}',
        ),
        ('env = { A = "${NOBODY:?give it}" }', "env.A: the variable NOBODY needs a value: give it"),
        ('env = { A = "${NOBODY" }', "env.A: '${NOBODY' has a ${ that is not closed; write $$ for a dollar sign"),
    ],
)
def test_mistakes_are_told_with_the_key(tmp_path: Path, lines: str, told: str) -> None:
    with pytest.raises(TopologyError) as error:
        loaded(tmp_path, mesh_toml=SERVICE + lines + "\n", bad_env="A=1\nwhat is this\n")
    (mistake,) = error.value.mistakes
    assert f"{mistake.key.removeprefix('services.web.')}: {mistake.problem}" == told.replace("FOLDER", str(tmp_path))


def test_a_dotenv_that_cannot_be_read_is_told_once_where_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(TopologyError) as error:
        loaded(tmp_path, mesh_toml=SERVICE + 'env = { A = "${X}", B = "${Y}" }\n', _env="what is this\n")
    assert [str(mistake) for mistake in error.value.mistakes] == [
        "mesh.toml:3: services.web.env.A: .env: line 1: expected NAME=value, not 'what is this'"
    ]
