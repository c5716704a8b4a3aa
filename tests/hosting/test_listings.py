"""A folder's listing says which modules it can not hold."""

from __future__ import annotations

import os
from pathlib import Path

from mesh.hosting.listings import Listings


def test_a_folder_may_hold_what_its_names_begin_with(tmp_path: Path) -> None:
    for name in ("app.py", "fast.cpython-311-x86_64-linux-gnu.so"):
        (tmp_path / name).touch()
    (tmp_path / "package").mkdir()
    listings = Listings()
    held = [name for name in ("app", "fast", "package", "apps", "py") if listings.may_hold(str(tmp_path), name)]
    assert held == ["app", "fast", "package"]


def test_a_file_that_comes_later_is_seen(tmp_path: Path) -> None:
    listings = Listings()
    assert not listings.may_hold(str(tmp_path), "late")
    (tmp_path / "late.py").touch()
    os.utime(tmp_path, (1, 1))  # whatever the file system's clock is worth
    assert listings.may_hold(str(tmp_path), "late")


def test_a_folder_that_is_not_there_holds_nothing_and_an_archive_may_hold_anything(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    archive.touch()
    assert not Listings().may_hold(str(tmp_path / "none"), "app")
    assert Listings().may_hold(str(archive), "app")
