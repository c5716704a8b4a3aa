"""Fixtures shared by the tests of the command line and the runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

# pytest rewrites the assert statements of modules at their first import, and CPython 3.11 parses in one thread at a
# time: two services that import at once end with "AST constructor recursion depth mismatch" (seen once).
import mesh.calling.forwarding.proxy
import mesh.calling.peer
import mesh.store.gateway
import mesh.store.order
import mesh.store.product
import mesh.store.user  # noqa: F401
from tests.support.programs import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """An empty project and its terminal; what was started there is killed when the test is over."""
    folder = tmp_path / "project"
    folder.mkdir()
    opened = Shell(folder)
    yield opened
    opened.close()
