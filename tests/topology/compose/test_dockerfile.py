"""Where the files that an image copies are in its container."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.topology.compose.dockerfile import read_dockerfile


@pytest.mark.parametrize(
    ("copies", "inside"),
    [
        ("COPY needs.txt /app", "/app"),
        ("COPY needs.txt /app/", "/app/needs.txt"),
        ("WORKDIR /app\nCOPY needs.txt .", "/app/needs.txt"),
        ("WORKDIR /app\nADD /needs.txt /app", "/app/needs.txt"),
        ("COPY code /app\nCOPY needs.txt /app", "/app/needs.txt"),
    ],
)
def test_a_file_that_is_copied_to_a_folder_keeps_its_name(tmp_path: Path, copies: str, inside: str) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "needs.txt").touch()
    (tmp_path / "Dockerfile").write_text(f"FROM python:3.12\n{copies}\n")
    image = read_dockerfile(tmp_path / "Dockerfile", tmp_path)
    assert image.local(inside) == tmp_path / "needs.txt"
