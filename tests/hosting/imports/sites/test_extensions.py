"""Extension modules of virtual environments."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mesh.hosting.imports.sites.extensions import SiteExtensionLoader


def test_modules_that_appear_while_all_are_looked_at_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to Python 3.11, any new object may start a collection, and that a finalizer, or another thread."""
    monkeypatch.setattr(sys, "modules", modules := sys.modules.copy())
    made: list[str] = []

    class Finalized:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            made.append(f"made{len(made)}")
            modules[made[-1]] = ModuleType(made[-1])

    thresholds = gc.get_threshold()
    loader = SiteExtensionLoader("fast", str(tmp_path / "fast.so"))
    modules |= {f"module{number}": ModuleType(f"module{number}") for number in range(1000)}
    try:
        gc.collect()
        Finalized()
        gc.set_threshold(gc.get_count()[0] + 500)  # when half of the modules have been looked at
        assert not loader._is_second_copy()
        gc.set_threshold(*thresholds)
        gc.collect()
        assert made == ["made0"]
    finally:
        gc.set_threshold(*thresholds)
