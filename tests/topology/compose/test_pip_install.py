"""The packages that a Dockerfile installs by pip."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.topology.compose.dockerfile import read_dockerfile


def required(folder: Path, *lines: str) -> list[str]:
    """Return the requirements of an image that is built by these lines, with places relative to the folder."""
    for name in ("requirements.txt", "app/dev.txt", "library/pyproject.toml", "pyproject.toml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "Dockerfile").write_text("\n".join(("FROM python:3.12", "WORKDIR /srv", *lines)) + "\n")
    image = read_dockerfile(folder / "Dockerfile", folder)
    return [line.replace(f"{folder}/", "").replace(str(folder), ".") for line in image.requires]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("pip install -r requirements.txt", ["-r requirements.txt"]),
        ("pip install --no-cache-dir --upgrade -r ./requirements.txt", ["-r requirements.txt"]),
        ("python -m pip install --requirement=requirements.txt", ["-r requirements.txt"]),
        ("pip3 install -rrequirements.txt", ["-r requirements.txt"]),
        ("--mount=type=cache,target=/cache pip install -r requirements.txt", ["-r requirements.txt"]),
        ("uv pip install --system --no-cache -r /srv/app/dev.txt", ["-r app/dev.txt"]),
        ("pip wheel --wheel-dir /wheels -r requirements.txt", ["-r requirements.txt"]),
        ("pip install --upgrade pip && pip install 'flask[async]==3.0' gunicorn", ["flask[async]==3.0", "gunicorn"]),
        ("pip install pip==24.0 setuptools wheel poetry && poetry install", []),
        ("pip install poetry-core pipx", ["poetry-core", "pipx"]),
        ("apt-get update && apt-get install -y gcc; pip install redis", ["redis"]),
        ("pip install torch --index-url https://example.org/cpu", ["torch", "--index-url https://example.org/cpu"]),
        ("pip install --target /opt -t /opt --prefix=/install --timeout 100 redis", ["redis"]),
        ("pip install -e ./library '.[dev]'", ["-e library", "-e .[dev]"]),
        ("pip install /wheels/* *.whl missing/ git+https://example.org/a.git", ["git+https://example.org/a.git"]),
        ("pip install -r missing.txt -c requirements.txt", ["-c requirements.txt"]),
        ("pip install $PACKAGES && pip uninstall -y flask && pip list", []),
        ("npm install && echo pip install", []),
    ],
)
def test_what_a_command_installs(tmp_path: Path, run: str, expected: list[str]) -> None:
    assert required(tmp_path, "COPY . .", f"RUN {run}") == expected


def test_files_are_those_of_the_folder_in_which_the_command_runs(tmp_path: Path) -> None:
    lines = ["COPY app/dev.txt /tmp/all.txt", "WORKDIR /tmp", "RUN pip install -r all.txt", "WORKDIR /srv", "COPY . ."]
    assert required(tmp_path, *lines) == ["-r app/dev.txt"]


def test_what_another_stage_has_made_counts_where_it_is_copied(tmp_path: Path) -> None:
    first = ["FROM python:3.12 AS build", "COPY requirements.txt .", "RUN pip wheel -w /wheels -r requirements.txt"]
    other = ["FROM python:3.12 AS tests", "RUN pip install pytest", "FROM python:3.12"]
    lines = [*first, *other, "COPY --from=build /wheels /wheels", "RUN pip install /wheels/*"]
    assert required(tmp_path, *lines) == ["-r requirements.txt"]


def test_arguments_and_variables_are_replaced(tmp_path: Path) -> None:
    lines = ["ARG FILE=dev", "ENV VERSION=1.2", "COPY . .", 'RUN pip install -r "app/${FILE}.txt" gunicorn==$VERSION']
    assert required(tmp_path, *lines) == ["-r app/dev.txt", "gunicorn==1.2"]
