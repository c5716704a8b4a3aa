"""A folder of the current one that only shares its name with a service's namespace package does no harm."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted, Write

APP = """\
import importlib

import shop
import shop.sub.deep
from shop.sub.deep.thing import WHO


def who():
    return WHO, importlib.import_module("shop.sub.other").WHO, shop.__path__[0]
"""
SERVICE = {"app.py": APP, "shop/sub/deep/thing.py": "WHO = 'deep'", "shop/sub/other.py": "WHO = 'other'"}


@pytest.mark.parametrize("entry", ["", "here"], ids=["python -m mesh", "pytest"])
@pytest.mark.parametrize("folder", ["shop", "shop/sub", "shop/sub/deep", "shop/sub/deep/thing"])
@pytest.mark.parametrize("is_known", [False, True], ids=["first", "imported before"])
def test_a_folder_with_the_name_of_a_namespace_package_does_no_harm(
    hosted: Hosted, write: Write, monkeypatch: pytest.MonkeyPatch, entry: str, folder: str, is_known: bool
) -> None:
    here = write("project", {f"{folder}/notes.txt": ""})
    root = write("project/service", SERVICE)
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(entry and str(here))
    for name in ("shop", "shop.sub", "shop.sub.deep", "shop.sub.deep.thing", "shop.sub.other"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    if is_known:
        __import__("shop")
    one = hosted.add("one", root=root)
    who = hosted.load(one, "app:who")
    assert hosted.within(one, who) == ("deep", "other", str(root / "shop"))


def test_two_services_with_the_namespace_package_of_a_folder_here_each_import_their_own(
    hosted: Hosted, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = write("project", {"shop/sub/deep/notes.txt": ""})
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend("")
    for name in ("shop", "shop.sub", "shop.sub.deep"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("one", "two"):
        files = {"app.py": "from shop.sub.deep.thing import WHO", "shop/sub/deep/thing.py": f"WHO = '{name}'"}
        root = write(f"project/{name}", files)
        assert hosted.load(hosted.add(name, root=root), "app:WHO") == name
