"""Measures how mesh/ is laid out: `python -m benchmarks.layout`.

Prints the files of each folder, the lines of each file, the longest function, and the files to open to follow each of
the ways through of docs/architecture.md.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
#: Files that one folder should have at most, and lines that the median file should have.
MOST_FILES, MEDIAN_LINES = 14, (100, 200)
#: Lines that a function may have.
MOST_LINES = 40

_WAY = re.compile(r"### `?(.+?)`?\n\n((?:\|.*\n)+)")
_ROW = re.compile(r"\| (mesh/\S+\.py) \| (?:`(\w+)`|\(socket\)) \|.*")


class Step(NamedTuple):
    """A file to open; name: what leads to it, None for what a socket or a server leads to."""

    file: str
    name: str | None


class Function(NamedTuple):
    lines: int
    place: str


def files() -> list[Path]:
    """Return the modules of mesh/ that are written by hand and not empty but for a docstring."""
    found = sorted((ROOT / "mesh").rglob("*.py"))
    return [file for file in found if "pb" not in file.parts and (file.name != "__init__.py" or lines_of(file) > 3)]


def lines_of(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def longest_function() -> Function:
    """Return the longest function of mesh/, without its decorators."""
    found = []
    for file in files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                found.append(Function(length, f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"))
    return max(found)


def files_per_folder() -> Counter[str]:
    return Counter(str(file.parent.relative_to(ROOT)) for file in files())


def ways_through(page: str) -> dict[str, list[Step]]:
    """Return the ways through that docs/architecture.md lists, by their headings."""
    ways = {}
    for heading, table in _WAY.findall(page):
        steps = [Step(row[1], row[2]) for row in map(_ROW.fullmatch, table.splitlines()) if row]
        if steps:
            ways[heading] = steps
    return ways


def main() -> None:
    found = files()
    lines = sorted(map(lines_of, found))
    print(f"{len(found)} files, {sum(lines)} lines")
    print(f"lines per file: median {median(lines):g} (aim: {MEDIAN_LINES[0]} to {MEDIAN_LINES[1]}), most {lines[-1]}")
    print("longest function: {} lines, {}".format(*longest_function()))
    print(f"files per folder (aim: at most {MOST_FILES}):")
    for folder, count in files_per_folder().most_common():
        print(f"  {count:3}  {folder}{'  above the aim' if count > MOST_FILES else ''}")
    print("files to open to follow:")
    for heading, steps in ways_through(PAGE.read_text(encoding="utf-8")).items():
        print(f"  {len(steps):3}  {heading}")


if __name__ == "__main__":
    main()
