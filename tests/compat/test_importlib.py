"""Imports that execute a module are observed, with what they import inside of them; locks are found by module name."""

from __future__ import annotations

import importlib.abc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.compat.importlib import Loader, observed_imports


def test_the_loader_is_that_of_importlib_abc() -> None:
    assert Loader is importlib.abc.Loader


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


# Run in another process: in this one a service may be importing with the locks that mesh has replaced.
LOCKS = """
import builtins, sys
from mesh.compat.importlib import await_lock, replace_locks, restore_locks

sys.path.insert(0, sys.argv[1])
seen, builtins.waited = set(), []

class Seen(dict):
    def __getitem__(self, name):
        seen.add(f"get {name}")
        return super().__getitem__(name)

    def __setitem__(self, name, lock):
        seen.add(f"set {name}")
        super().__setitem__(name, lock)

    def __delitem__(self, name):
        seen.add(f"delete {name}")
        super().__delitem__(name)

def await_import(name):
    waited.append(name)
    await_lock(name)

replace_locks(Seen, await_import)
import locked
locked.thread.join()
restore_locks()
print(sorted(each for each in seen if "locked" in each), waited)
seen.clear()
import unlocked
print(seen, waited)
"""
LOCKED = """
import threading

def ask():
    import locked

thread = threading.Thread(target=ask)
thread.start()
while thread.is_alive() and not waited:
    thread.join(0.01)
"""


def test_locks_are_looked_up_by_name_and_a_half_made_module_is_waited_for(tmp_path: Path) -> None:
    """Relied on: `_module_locks` is asked at every import, and `_lock_unlock_module` at every half-made module."""
    (tmp_path / "locked.py").write_text(LOCKED)
    (tmp_path / "unlocked.py").write_text("")
    command = [sys.executable, "-c", LOCKS, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines() == [
        "['delete locked', 'get locked', 'set locked'] ['locked']",
        "set() ['locked']",
    ]
