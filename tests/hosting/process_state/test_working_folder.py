"""Relative paths start at the service's root."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mesh.hosting.process_state.working_folder import own_folder


def _in_thread(call: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(10)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a thread its own working folder")
def test_a_thread_and_those_it_starts_have_a_folder_of_their_own(tmp_path: Path) -> None:
    before = Path.cwd()
    (tmp_path / "inner").mkdir()

    def service() -> tuple[object, ...]:
        assert own_folder(tmp_path) is None
        own = Path.cwd()
        child = _in_thread(Path.cwd)
        os.chdir("inner")
        return own, child, _in_thread(Path.cwd), _in_thread(lambda: os.path.exists("inner"))

    assert _in_thread(service) == (tmp_path, tmp_path, tmp_path / "inner", False)
    assert Path.cwd() == before


def test_where_it_cannot_be_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert own_folder(tmp_path) == (
        f"relative paths start at {Path.cwd()}, not at {tmp_path}: only Linux gives a thread its own working folder"
    )
    assert threading.current_thread() is threading.main_thread()
