"""A folder's listing says which modules it can not hold, and where the others are."""

from __future__ import annotations

import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from mesh.hosting.imports.scope.directory_cache import DirectoryCache


def fill(folder: Path, *names: str) -> str:
    """HostNames that end in a slash become folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).mkdir() if name.endswith("/") else (folder / name).touch()
    return str(folder)


def test_a_folder_may_hold_what_its_names_begin_with(tmp_path: Path) -> None:
    folder = fill(tmp_path, "app.py", "fast.so", "fast.py", "package/")
    found = {name: DirectoryCache().candidates(folder, name) for name in ("app", "fast", "package", "apps", "py")}
    assert found == {
        "app": {"app.py"},
        "fast": {"fast.so", "fast.py"},
        "package": {"package"},
        "apps": set(),
        "py": set(),
    }


def test_files_that_python_cannot_import_are_no_modules(tmp_path: Path) -> None:
    tag = next(each for each in EXTENSION_SUFFIXES if each.count(".") > 1)
    folder = fill(tmp_path, "mesh.toml", "app.py", "app.html", "app.py.orig", "v1.2/", f"fast{tag}", "old.pyc", "noted")
    assert set(DirectoryCache().names(folder)) == {"app", "fast", "old", "noted"}
    assert DirectoryCache().source([folder], "app") == f"{folder}/app.py"


@pytest.mark.parametrize("first", [False, True])
def test_a_file_that_comes_later_is_seen_but_where_the_first_look_will_do(tmp_path: Path, first: bool) -> None:
    listings = DirectoryCache()
    assert not listings.candidates(str(tmp_path), "late", first)
    (tmp_path / "late.py").touch()
    os.utime(tmp_path, (1, 1))  # whatever the file system's clock is worth
    assert bool(listings.candidates(str(tmp_path), "late", first)) is not first


def test_a_folder_that_is_not_there_holds_nothing_and_an_archive_may_hold_anything(tmp_path: Path) -> None:
    archive = fill(tmp_path, "archive.zip") + "/archive.zip"
    assert not DirectoryCache().candidates(str(tmp_path / "none"), "app")
    assert DirectoryCache().candidates(archive, "app")
    assert DirectoryCache().source([archive, str(tmp_path)], "archive") is None


def test_a_module_is_its_source_file_where_nothing_else_has_its_name(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", "first.py", "both.py", "both.so", "twice.py", "twice/", "package/__init__.py")
    two = fill(tmp_path / "two", "first.py", "second.py", "both.py", "twice.py", "package.py")
    found = {
        name: DirectoryCache().source([one, two], name)
        for name in ("first", "second", "both", "twice", "package", "no")
    }
    assert found == {
        "first": f"{one}/first.py",
        "second": f"{two}/second.py",
        "both": None,
        "twice": None,
        "package": None,
        "no": None,
    }
