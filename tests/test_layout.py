"""docs/architecture.md lists files that exist and lead from one to the next, and counts them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.layout import (
    MOST_FILES,
    MOST_LINES,
    ROOT,
    Step,
    files_per_folder,
    longest_function,
    main,
    ways_through,
)

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WAYS = ways_through(PAGE)


def test_the_page_lists_four_ways_through() -> None:
    assert list(WAYS) == ["mesh up", "One GET through gRPC", "One order", "One edit"]


@pytest.mark.parametrize("way", WAYS)
def test_each_file_of_a_way_is_reached_by_a_name_from_one_before(way: str) -> None:
    assert broken_steps(WAYS[way]) == []


def test_a_file_that_no_name_leads_to_is_found() -> None:
    steps = [
        Step("mesh/commands/up.py", "up"),
        Step("mesh/runtime/supervisor.py", "Loop"),
        Step("mesh/gone.py", "Loop"),
    ]
    assert broken_steps(steps) == [
        "mesh/runtime/supervisor.py: no Loop leads here",
        "mesh/gone.py: no such file",
    ]


@pytest.mark.parametrize("way", WAYS)
def test_the_page_counts_the_files_of_each_way(way: str) -> None:
    (row,) = re.findall(rf"^\| `?{re.escape(way)}`? \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert int(row[2]) == len(WAYS[way])
    assert int(row[2]) < int(row[0])


def test_the_command_prints_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    for figure in ("lines per file: median", "longest function:", "files per folder", *WAYS):
        assert figure in printed


def test_functions_are_short_and_folders_can_be_overlooked() -> None:
    longest = longest_function()
    assert longest.lines <= MOST_LINES, longest.place
    assert {folder: count for folder, count in files_per_folder().items() if count > MOST_FILES} == {}


def test_no_two_classes_share_a_name() -> None:
    names = Counter(
        node.name
        for file in (ROOT / "mesh").rglob("*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def broken_steps(steps: list[Step]) -> list[str]:
    """Return a sentence for each file that is missing, or that no name connects to one before it."""
    broken = []
    before: list[str] = []
    for step in steps:
        path = Path(ROOT / step.file)
        if not path.is_file():
            broken.append(f"{step.file}: no such file")
            continue
        text = path.read_text(encoding="utf-8")
        if before and step.name is not None and not leads(step.name, text, before):
            broken.append(f"{step.file}: no {step.name} leads here")
        before.append(text)
    return broken


def leads(name: str, text: str, before: list[str]) -> bool:
    """Return whether the name is defined on one side, here or before, and used on the other."""
    word = re.compile(rf"\b{name}\b")
    definition = re.compile(rf"^ *(?:class|def|async def) {name}\b", re.MULTILINE)
    if definition.search(text):
        return any(word.search(each) for each in before)
    return bool(word.search(text)) and any(map(definition.search, before))
