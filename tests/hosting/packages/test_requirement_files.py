"""Files of requirements: where the paths in them lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.hosting.packages.requirement_files import requirements_of
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
