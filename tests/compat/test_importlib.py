"""Imports that execute a module are observed, with what they import inside of them; locks are found by module name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.compat.importlib import await_lock, observed_imports, replace_locks, restore_locks


def test_imports_are_observed_nested_in_any_form_and_only_in_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "observed_outer.py").write_text("import importlib\nimportlib.import_module('observed_inner')\n")
    (tmp_path / "observed_inner.py").write_text("")
    (tmp_path / "observed_later.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen: list[str] = []

    @contextmanager
    def around(name: str) -> Iterator[None]:
        seen.append(f"begin {name}")
        yield
        seen.append(f"end {name}")

    with observed_imports(around):
        __import__("observed_outer")
        __import__("observed_outer")
    __import__("observed_later")
    assert seen == ["begin observed_outer", "begin observed_inner", "end observed_inner", "end observed_outer"]
    for name in ("outer", "inner", "later"):
        del sys.modules[f"observed_{name}"]


class Seen(dict[str, Any]):
    """Locks that note the names under which they are looked up, set and deleted."""

    names: set[tuple[str, str]]

    def __getitem__(self, name: str) -> Any:
        self.names.add(("get", name))
        return super().__getitem__(name)

    def __setitem__(self, name: str, lock: Any) -> None:
        self.names.add(("set", name))
        super().__setitem__(name, lock)

    def __delitem__(self, name: str) -> None:
        self.names.add(("del", name))
        super().__delitem__(name)


def test_locks_are_looked_up_by_name_and_a_half_made_module_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relied on: `_module_locks` is asked at every import, and `_lock_unlock_module` at every half-made module."""
    importing = "import threading\ndef ask():\n    import locked\nt = threading.Thread(target=ask)\nt.start()\n"
    (tmp_path / "locked.py").write_text(importing + "while t.is_alive() and not waited:\n    t.join(0.01)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    waited: list[str] = []
    monkeypatch.setattr("builtins.waited", waited, raising=False)

    def await_import(name: str) -> None:
        waited.append(name)
        await_lock(name)

    Seen.names = set()
    replace_locks(Seen, await_import)
    try:
        __import__("locked").t.join()
    finally:
        restore_locks()
        del sys.modules["locked"]
    assert {("get", "locked"), ("set", "locked"), ("del", "locked")} <= Seen.names
    assert waited == ["locked"]
    Seen.names = set()
    __import__("locked")
    del sys.modules["locked"]
    assert Seen.names == set()
