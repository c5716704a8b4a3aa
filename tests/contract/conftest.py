"""The library's stubs, generated for this run, and the library as a service that mesh runs."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.contract.protoc import compile_protos
from tests.support.supervised import Project, supervised

HERE = Path(__file__).parent
_out = tempfile.TemporaryDirectory(prefix="library-")
compile_protos(Path(__file__).parent, Path(_out.name))
sys.path.append(_out.name)

PROJECT = {
    "mesh.toml": """
        [services.library]
        http = {port = 0}
        grpc = {port = 0, servicers = ["library:Plain"]}
        protos = ["protos"]
    """,
    "protos/library.proto": (HERE / "library.proto").read_text(),
    "library.py": (HERE / "library.py").read_text(),
}


@pytest.fixture(scope="module")
def library_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with supervised(tmp_path_factory.mktemp("project"), PROJECT) as running:
        yield running
