"""`os.environ` and `os.environb` read and write one mapping; Popen takes `env` by name and by position."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from typing import Any

import pytest

from mesh.compat.os_environ import MAPPING, gives_environment, mapping, with_environment

PRINT = [sys.executable, "-S", "-c", "import os; print(os.environ.get('COLOUR'))"]


def test_both_views_of_the_environment_read_and_write_the_mapping_that_stands_behind_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert vars(os.environb)[MAPPING] is mapping()
    encoded: dict[bytes, bytes] = {b"COLOUR": b"red"}
    for view in (os.environ, os.environb):
        monkeypatch.setattr(view, MAPPING, encoded)
    assert (os.environ["COLOUR"], os.environb[b"COLOUR"], dict(os.environ)) == ("red", b"red", {"COLOUR": "red"})
    os.environ["SHAPE"] = "round"
    del os.environb[b"COLOUR"]
    assert encoded == {b"SHAPE": b"round"}


def test_env_is_the_eleventh_argument_of_popen() -> None:
    parameters = list(inspect.signature(subprocess.Popen).parameters)
    before = parameters.index("env")
    arguments: tuple[Any, ...] = (PRINT, *[None] * (before - 1))
    assert gives_environment((*arguments, {}), {})
    assert not gives_environment((*arguments, None), {})
    assert not gives_environment(arguments, {})


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((PRINT,), {}),
        ((PRINT,), {"env": None}),
        ((PRINT, -1, None, None, subprocess.PIPE, None, None, True, False, None, None), {}),
    ],
)
def test_a_child_that_is_given_no_environment_gets_the_one_that_is_put_in_its_place(
    arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    assert not gives_environment(arguments, options)
    given, named = with_environment(arguments, options, {"COLOUR": "blue"})
    assert gives_environment(given, named)
    with subprocess.Popen(*given, **{"stdout": subprocess.PIPE, **named} if len(given) < 5 else named) as child:
        assert child.communicate(timeout=30)[0] == b"blue\n"
