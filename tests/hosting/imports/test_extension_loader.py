"""A service's own C extensions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.hosting.load_errors import ServiceImportError
from tests.support.compiled import KINDS, compile_extension, needs_compiler

if TYPE_CHECKING:
    from tests.hosting.conftest import Load

pytestmark = [needs_compiler, pytest.mark.parametrize("kind", KINDS)]


def test_it_is_loaded_once_and_shared_by_all_generations(code_of: Load, tmp_path: Path, kind: str) -> None:
    library = compile_extension(tmp_path, "fast", "first", kind)
    first = code_of("one", tmp_path)
    module = first.load("fast:word").__self__
    second = code_of("one", tmp_path)
    assert second.load("fast:word").__self__ is module
    assert getattr(module, "times", 1) == 1
    assert library in first.files()
    assert library in second.files()


def test_two_services_with_the_same_file_share_it(code_of: Load, tmp_path: Path, kind: str) -> None:
    compile_extension(tmp_path, "fast", "first", kind)
    (tmp_path / "link").symlink_to(tmp_path)
    one, two = code_of("one", tmp_path), code_of("two", tmp_path / "link")
    assert one.load("fast:word").__self__ is two.load("fast:word").__self__


def test_a_changed_one_is_loaded_beside_the_one_that_serves(code_of: Load, tmp_path: Path, kind: str) -> None:
    compile_extension(tmp_path, "fast", "first", kind)
    first = code_of("one", tmp_path).load("fast:word")
    for number in (2, 3):
        library = compile_extension(tmp_path, "fast", f"edit {number}", kind)
        word = code_of("one", tmp_path).load("fast:word")
        assert (word(), first()) == (f"edit {number}", "first")
        assert word.__self__.__file__ == str(library)


def test_one_that_is_no_library_is_refused_and_its_repair_is_loaded(code_of: Load, tmp_path: Path, kind: str) -> None:
    compile_extension(tmp_path, "fast", "first", kind).write_bytes(b"half of it")
    with pytest.raises(ServiceImportError, match="ImportError at import"):
        code_of("one", tmp_path).load("fast:word")
    compile_extension(tmp_path, "fast", "mended", kind)
    assert code_of("one", tmp_path).load("fast:word")() == "mended"
