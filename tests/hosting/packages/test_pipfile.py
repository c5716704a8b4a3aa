"""A Pipfile as lines of a requirements.txt."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mesh.hosting.packages.pipfile import pins, requirements

PIPFILE = """
[packages]
flask = "*"
redis = ">=4,<5"
celery = {extras = ["redis", "tblib"], version = "==5.4.0"}
uvloop = {version = "*", markers = "sys_platform != 'win32'"}
shop = {git = "https://example.org/shop.git", ref = "main"}
library = {path = "./library", editable = true}

[dev-packages]
pytest = "*"
"""


def test_packages_become_requirements() -> None:
    assert list(requirements(tomllib.loads(PIPFILE))) == [
        "flask",
        "redis>=4,<5",
        "celery[redis,tblib]==5.4.0",
        "uvloop; sys_platform != 'win32'",
        "shop @ git+https://example.org/shop.git@main",
        "./library",
    ]


def test_a_lock_file_pins_what_has_a_version(tmp_path: Path) -> None:
    lock = tmp_path / "Pipfile.lock"
    lock.write_text('{"default": {"flask": {"version": "==3.0"}, "library": {"path": "."}}, "develop": {"pytest": {}}}')
    assert list(pins(lock)) == ["flask==3.0"]
    lock.write_text("{}")
    with pytest.raises(ValueError, match=r"Pipfile\.lock cannot be read"):
        list(pins(lock))
