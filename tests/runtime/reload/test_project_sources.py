"""Libraries of the project that services find as if they were installed, or by a link."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.editing import Edited, is_live, plain, toml

FILES = {
    "mesh.toml": toml(
        one='root = "one"\nhttp = {port = 0, app = "app:app"}', two='root = "two"\nhttp = {port = 0, app = "app:app"}'
    ),
    "one/app.py": plain("WORD", "from words_of_all.words import WORD"),
    "two/app.py": plain("2"),
    "libs/src/words_of_all/__init__.py": "",
    "libs/src/words_of_all/words.py": "WORD = 'a'",
}
Install = Callable[[Path, pytest.MonkeyPatch], None]


def by_path_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install as most build backends do, with a .pth file."""
    monkeypatch.syspath_prepend(str(folder / "libs" / "src"))


def by_finder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install as setuptools does for a package beside its pyproject.toml."""
    package = folder / "libs" / "src" / "words_of_all"

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
            if name != "words_of_all":
                return None
            return importlib.util.spec_from_file_location(name, package / "__init__.py")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])


def by_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "one").mkdir(exist_ok=True)
    (folder / "one" / "words_of_all").symlink_to(folder / "libs" / "src" / "words_of_all")


@pytest.mark.parametrize("install", [by_path_entry, by_finder, by_link])
def test_an_edit_of_a_library_in_the_project_reloads_its_dependants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Install
) -> None:
    install(tmp_path, monkeypatch)
    with Edited(tmp_path, FILES, watch=True) as edited:
        assert edited.get("one") == "a"
        with edited.awaiting(lambda entry: is_live(entry, "one")):
            edited.write({"libs/src/words_of_all/words.py": "WORD = 'b'"})
        assert edited.get("one") == "b"
        assert {each.name: each.generation for each in edited.supervisor.snapshot.services} == {"one": 2, "two": 1}


def test_what_is_installed_into_a_virtualenv_of_the_project_stays_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = "env/lib/python3/site-packages"
    monkeypatch.syspath_prepend(str(tmp_path / site))
    files = {
        **FILES,
        f"{site}/installed_once.py": "WORD = object()",
        "one/app.py": plain("str(id(WORD))", "from installed_once import WORD"),
        "two/app.py": plain("str(id(WORD))", "from installed_once import WORD"),
    }
    with Edited(tmp_path, files, watch=True) as edited:
        assert edited.get("one") == edited.get("two")
