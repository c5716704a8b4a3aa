"""What the next start says of a mesh that did not end as it should, read from its note."""

from __future__ import annotations

from pathlib import Path

from mesh.control.crash_note import LastEnd, last_ends

#: Beyond every limit of process ids.
PID = 2**22 + 1
COPIES = """\
loaded from a second environment: numpy.core._multiarray_umath
loaded from a second environment: orjson.orjson
"""
DUMP = """\
Fatal Python error: Segmentation fault

Current thread 0x00007f3b2c7fe6c0 (most recent call first):
  File "/app/web.py", line 14 in segfault
  File "/mesh/threads.py", line 1 in service web
"""


def ends(project: Path, note: str) -> list[LastEnd]:
    (project / ".mesh" / "run").mkdir(parents=True)
    (project / ".mesh" / "run" / f"{PID}.crash").write_text(note)
    found = last_ends(project)
    assert last_ends(project) == []
    return found


def test_extensions_that_were_there_in_two_copies_are_named_with_a_crash(tmp_path: Path) -> None:
    said = "Segmentation fault in web at /app/web.py:14 (segfault)"
    copies = "; loaded from two environments: numpy.core._multiarray_umath, orjson.orjson"
    told = f"the last mesh of this project (pid {PID}) crashed: {said}{copies}"
    assert ends(tmp_path, COPIES + DUMP) == [LastEnd(told, "web")]


def test_they_are_not_named_with_another_end(tmp_path: Path) -> None:
    told = f"the last mesh of this project (pid {PID}) was killed (kill -9, out of memory, or the machine went down)"
    assert ends(tmp_path, COPIES) == [LastEnd(told, None)]


def test_a_service_that_ends_the_process_by_itself_has_not_crashed(tmp_path: Path) -> None:
    told = f"the last mesh of this project (pid {PID}) was ended by web: os._exit(5) was called"
    assert ends(tmp_path, COPIES + "web: os._exit(5) was called\n") == [LastEnd(told, None)]
