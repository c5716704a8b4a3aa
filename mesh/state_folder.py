"""The folder `.mesh/` of a project: what mesh keeps there is for its user alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from mesh.errors import MeshError


def state_folder(project: Path) -> Path:
    """Return `.mesh/` of the project, private and ignored by git; raises MeshError if it cannot be made so."""
    folder = project / ".mesh"
    with writing(folder):
        _make_private(folder)
        _make_private(folder / "run")
        with contextlib.suppress(FileExistsError), (folder / ".gitignore").open("x") as ignore:
            ignore.write("*\n")
    return folder


def _make_private(folder: Path) -> None:
    """Create the folder with mode 0700, or remove other users' access from an existing one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = folder.stat().st_uid
    if os.geteuid() not in (owner, 0):
        raise MeshError(
            f"{folder} belongs to another user (uid {owner}), who could read the token of this mesh in it; "
            "remove it, or run mesh in a folder of yours"
        )
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
        if folder.stat().st_mode & 0o077:
            raise MeshError(
                f"{folder} is open to other users, and its file system supports no modes; run mesh on one that does"
            )


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn an OSError of the block into a MeshError that names the folder."""
    try:
        yield
    except OSError as error:
        raise MeshError(f"{folder} cannot be written: {error.strerror}; run mesh in a folder of yours") from error
