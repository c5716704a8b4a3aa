"""A room uses the rooms below it: read from the imports of mesh/, those within functions and TYPE_CHECKING too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mesh
import mesh.contract

ROOT = Path(mesh.__file__).parent

FLOORS = {
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
    "references": 0,
    "suggestions": 0,
    "sockets": 0,
    "service": 1,
    "topology.model": 0,
}
#: On one floor and strangers to each other.
APART = [("serving", "calling"), ("control", "pytest_plugin")]
#: The public words, and the guest that says nothing else.
PUBLIC, GUEST = "mesh", "store"
WORDS = {"mesh", "mesh.contract"} | {
    f"{package.__name__}.{word}" for package in (mesh, mesh.contract) for word in package.__all__
}


def test_no_import_points_up() -> None:
    wrong = [
        f"{importer} (floor {FLOORS[room]}) imports {imported} (floor {FLOORS[other]})"
        for importer, room, imported, other in _imports()
        if room in FLOORS and other in FLOORS and room != other and FLOORS[other] > FLOORS[room]
    ]
    assert wrong == []


def test_the_doors_do_not_know_each_other() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, room, imported, other in _imports()
        if (room, other) in APART or (other, room) in APART
    ]
    assert wrong == []


def test_the_guest_says_public_words_only() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, room, imported, other in _imports()
        if room == GUEST and other != GUEST and imported not in WORDS
    ]
    assert wrong == []


def test_only_the_line_that_says_what_runs_by_default_knows_the_guest() -> None:
    knowing = sorted(
        f"{importer}: {imported}" for importer, room, imported, other in _imports() if other == GUEST != room
    )
    assert all(each.endswith(": mesh.store.topology") for each in knowing), knowing
    assert {each.split(".")[1].split(":")[0] for each in knowing} <= {"commands", "pytest_plugin"}, knowing


def test_no_room_is_without_a_floor() -> None:
    rooms = {room for _, room, _, _ in _imports()} - {PUBLIC, GUEST}
    assert rooms <= FLOORS.keys()


def _imports() -> Iterator[tuple[str, str, str, str]]:
    """(module, its room, module it imports, that one's room) of every import of mesh in mesh."""
    for path in sorted(ROOT.rglob("*.py")):
        if "pb" in path.parts:
            continue
        importer = ".".join(["mesh", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for imported in _imported(node):
                if imported.split(".")[0] == "mesh":
                    yield importer, _room(importer), imported, _room(imported)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide which room is meant"
        return [_module(node.module or "", alias.name) for alias in node.names]
    return []


def _module(package: str, name: str) -> str:
    """`from mesh.topology import model` names a module, `from mesh import Code` a word."""
    below = ROOT.parent / Path(*package.split(".")) / name
    return f"{package}.{name}" if below.is_dir() or below.with_suffix(".py").exists() else package


def _room(module: str) -> str:
    parts = module.split(".")
    if len(parts) == 1:
        return PUBLIC
    return "topology.model" if parts[1:3] == ["topology", "model"] else parts[1]
