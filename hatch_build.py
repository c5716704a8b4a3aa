"""Generates the store's stubs when mesh is built or installed, editable installs among them."""

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateStubs(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        protos = _load(root / "mesh" / "contract" / "protoc.py")
        stubs = root / "mesh" / "store" / "pb"
        protos.compile_protos(root / "proto", root, prefix="mesh/store/pb", stubs=True)
        (stubs / "descriptors.pb").write_bytes(protos.describe_protos(root / "proto"))
        (stubs / "__init__.py").write_text('"""Generated from proto/ at build."""\n')


def _load(path: Path) -> Any:
    """The module at `path`, without its package: mesh's own dependencies are not there yet."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
