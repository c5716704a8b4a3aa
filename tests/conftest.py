"""Fixtures shared by the tests of the command line and the runner."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.compat.pytest import rewrite_one_at_a_time
from tests.support.programs import Shell

rewrite_one_at_a_time()
# In a process that starts others, gRPC would otherwise write lines about forks (https://github.com/grpc/grpc/issues/43055).
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """An empty project and its terminal; what was started there is killed when the test is over."""
    folder = tmp_path / "project"
    folder.mkdir()
    opened = Shell(folder)
    yield opened
    opened.close()
