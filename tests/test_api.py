"""docs/api.md has an entry for every public name."""

from __future__ import annotations

import re

import mesh
import mesh.contract
from benchmarks.layout import ROOT
from mesh.pytest_plugin import Mesh

ENTRIES = re.findall(r"^### `([\w.]+)`$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_public_name_has_one_entry_and_nothing_else_has() -> None:
    methods = [f"Mesh.{name}" for name in vars(Mesh) if not name.startswith("_")]
    assert sorted(ENTRIES) == sorted({*mesh.__all__, *mesh.contract.__all__, *methods})
