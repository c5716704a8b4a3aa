"""Patterns of `watch`."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from mesh.runtime.reload.change_set import matches


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("templates/a.html", "templates/**"),
        ("templates/x/a.html", "templates/**"),
        ("templates/a.html", "templates/**/*.html"),
        ("templates/x/y/a.html", "templates/**/*.html"),
        ("a/templates/b", "**/templates/*"),
        ("words.yml", "*.yml"),
        ("d/words.yml", "**/*.yml"),
        ("templates/a", "templates/"),
        ("a1", "a[0-9]"),
        ("a1", "a[!a-z]"),
        ("a]", "a[]]"),
        ("d/.env", "**/.env*"),
        ("a{b,c}", "a{b,c}"),
        ("templates/x/y/a.html", "./templates/x"),
        ("any/thing", "**"),
    ],
)
def test_a_pattern_names_the_file(path: str, pattern: str) -> None:
    assert matches(PurePath(path), ["nothing", pattern])


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("d/words.yml", "*.yml"),
        ("a/templates/b", "templates/**"),
        ("templates.py", "templates"),
        ("xyml", "x.yml"),
        ("ab", "a[!a-z]"),
    ],
)
def test_a_pattern_does_not_name_the_file(path: str, pattern: str) -> None:
    assert not matches(PurePath(path), [pattern])
