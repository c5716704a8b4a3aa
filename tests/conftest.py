"""What tests of the command line and the runner share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """An empty project and its terminal; what was started there is killed when the test is over."""
    folder = tmp_path / "project"
    folder.mkdir()
    opened = Shell(folder)
    yield opened
    opened.close()
