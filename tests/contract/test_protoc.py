"""Selection of the .proto files below a folder that are compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.contract.protoc import compile_protos, describe_protos, proto_files

MINE = 'syntax = "proto3"; message Mine {}'
#: As packages bring them: they need others that are not there.
INSTALLED = 'syntax = "proto3"; import "not/there.proto";'


@pytest.mark.parametrize("place", ["node_modules/a", ".venv/lib/a", "env/lib/python3/site-packages/a"])
def test_proto_files_of_installed_packages_are_not_compiled(tmp_path: Path, place: str) -> None:
    mine, installed = tmp_path / "api" / "mine.proto", tmp_path / place / "installed.proto"
    for file, text in ((mine, MINE), (installed, INSTALLED)):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert proto_files(tmp_path) == [mine]
    assert compile_protos(tmp_path, tmp_path / "out") == [mine]
    assert b"mine.proto" in describe_protos(tmp_path)
