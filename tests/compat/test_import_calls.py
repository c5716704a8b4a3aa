"""An import is observed if it executes a module, with what it imports inside of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.compat.import_calls import observed_imports


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
