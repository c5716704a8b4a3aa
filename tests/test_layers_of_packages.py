"""A package imports only from layers below: read from the imports of mesh/, also in functions and TYPE_CHECKING."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mesh
import mesh.contract

ROOT = Path(mesh.__file__).parent

LAYERS = {
    "commands": 6,
    "__main__": 6,
    "control": 5,
    "pytest_plugin": 5,
    "runtime": 4,
    "serving": 3,
    "calling": 3,
    "layers": 2,
    "topology": 1,
    "contract": 1,
    "hosting": 1,
    "observing": 1,
    "faults": 1,
    "export": 1,
    "compat": 0,
    "descriptors": 0,
    "errors": 0,
    "context": 0,
    "python_command": 0,
    "references": 0,
    "suggestions": 0,
    "sockets": 0,
    "state_folder": 0,
    "virtualenv": 0,
    "service": 1,
    "topology.model": 0,
}
#: In one layer, and independent of each other.
APART = [("serving", "calling"), ("control", "pytest_plugin")]
#: The public names, and the package that uses nothing else.
PUBLIC, STORE = "mesh", "store"
NAMES = {"mesh", "mesh.contract"} | {
    f"{module.__name__}.{name}" for module in (mesh, mesh.contract) for name in module.__all__
}


def test_no_import_points_up() -> None:
    wrong = [
        f"{importer} (layer {LAYERS[package]}) imports {imported} (layer {LAYERS[other]})"
        for importer, package, imported, other in _imports()
        if package in LAYERS and other in LAYERS and package != other and LAYERS[other] > LAYERS[package]
    ]
    assert wrong == []


def test_packages_apart_do_not_import_each_other() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, package, imported, other in _imports()
        if (package, other) in APART or (other, package) in APART
    ]
    assert wrong == []


def test_the_store_uses_public_names_only() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, package, imported, other in _imports()
        if package == STORE and other != STORE and imported not in NAMES
    ]
    assert wrong == []


def test_only_the_default_topology_imports_the_store() -> None:
    importing = sorted(
        f"{importer}: {imported}" for importer, package, imported, other in _imports() if other == STORE != package
    )
    assert all(each.endswith(": mesh.store.topology") for each in importing), importing
    assert {each.split(".")[1].split(":")[0] for each in importing} <= {"commands", "pytest_plugin"}, importing


def test_every_package_has_a_layer() -> None:
    packages = {package for _, package, _, _ in _imports()} - {PUBLIC, STORE}
    assert packages <= LAYERS.keys()


def _imports() -> Iterator[tuple[str, str, str, str]]:
    """Yield (module, its package, module it imports, that one's package) for every import of mesh in mesh."""
    for path in sorted(ROOT.rglob("*.py")):
        if "pb" in path.parts:
            continue
        importer = ".".join(["mesh", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for imported in _imported(node):
                if imported.split(".")[0] == "mesh":
                    yield importer, _package(importer), imported, _package(imported)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide which package is meant"
        return [_module(node.module or "", alias.name) for alias in node.names]
    return []


def _module(package: str, name: str) -> str:
    """Return the module: `from mesh.topology import model` names one, `from mesh import Code` a name in it."""
    below = ROOT.parent / Path(*package.split(".")) / name
    return f"{package}.{name}" if below.is_dir() or below.with_suffix(".py").exists() else package


def _package(module: str) -> str:
    parts = module.split(".")
    if len(parts) == 1:
        return PUBLIC
    return "topology.model" if parts[1:3] == ["topology", "model"] else parts[1]
