"""Modules that pytest rewrites can be loaded by several threads at once."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

from mesh.compat.pytest import rewrite_one_at_a_time


def give_way(phase: str, info: dict[str, int]) -> None:
    """Let another thread run in the middle of a syntax tree, where objects are made and so collections begin."""
    time.sleep(0.0001)


def test_modules_are_rewritten_by_several_threads(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewrite, "_rewrite_test", rewrite._rewrite_test)  # restored after the test
    module = tmp_path / "module.py"
    module.write_text("def answer(x):\n    assert [x, (x + 1) * 2, {x: -x}]\n" * 100)
    rewrite_one_at_a_time()
    gc.callbacks.append(give_way)
    try:
        with ThreadPoolExecutor(4) as pool:
            made = [pool.submit(rewrite._rewrite_test, module, pytestconfig) for _ in range(12)]
            assert {type(each.result()[1]).__name__ for each in made} == {"code"}
    finally:
        gc.callbacks.remove(give_way)
