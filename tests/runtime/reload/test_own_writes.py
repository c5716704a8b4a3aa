"""Services that write the files for which they are loaded."""

from __future__ import annotations

import time
from pathlib import Path

from mesh.observing.journal import Line
from mesh.runtime.options import Options
from mesh.runtime.reload.own_writes import OwnWrites
from tests.support.supervised import PATIENCE, supervised

TOML = '[services.web]\nhttp = { port = 0, app = "app:app" }\n'
WRITES = """\
    import pathlib
    import time

    here = pathlib.Path(__file__).parent
    (here / "made.py").write_text(WHAT)
    print("a load")
    time.sleep(0.02)  # longer than a tick of the clock by which files are dated: what ends within one may be an edit
    import made


    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": made.WORD.encode()})
    """


def loads(project: object) -> int:
    return sum(isinstance(each, Line) and each.text == "a load" for each in project.entries)  # type: ignore[attr-defined]


def test_a_service_that_writes_something_else_at_each_load_is_named_after_three_and_an_edit_is_live_at_once(
    tmp_path: Path,
) -> None:
    code = WRITES.replace("WHAT", "f\"WORD = '{time.time_ns()}'\"")
    with supervised(tmp_path, {"mesh.toml": TOML, "app.py": code}, Options(watch=True)) as project:
        text = project.line("web", "each time it is loaded").text
        assert text.startswith("writes made.py each time it is loaded, and is loaded again for that; the next load ")
        assert 3 <= loads(project) <= 4  # the first may be over before its folder is watched
        since = len(project.entries)
        (tmp_path / "app.py").write_text((tmp_path / "app.py").read_text().replace("a load", "the edit"))
        project.line("web", "the edit", since)
        assert project.get("web", "/", PATIENCE).status_code == 200


def test_a_service_that_writes_the_same_at_each_load_is_not_loaded_for_that(tmp_path: Path) -> None:
    code = WRITES.replace("WHAT", '"WORD = 1"').replace("made.WORD.encode()", 'b"fine"')
    with supervised(tmp_path, {"mesh.toml": TOML, "app.py": code}, Options(watch=True)) as project:
        project.line("web", "(made.py;")
        since = len(project.entries)
        (tmp_path / "app.py").write_text((tmp_path / "app.py").read_text().replace("a load", "the edit"))
        project.line("web", "(app.py;", since)
        assert loads(project) == 2


def test_edits_that_follow_loads_at_once_are_not_taken_for_writes_of_the_service(tmp_path: Path) -> None:
    own_writes, file = OwnWrites(), tmp_path / "app.py"
    for number in range(300):
        own_writes.began("web")
        started = time.perf_counter()
        compile("x = 1\n" * 50, "app.py", "exec")
        own_writes.ended("web", (time.perf_counter() - started) * 1000)
        file.write_text(f"x = {number}")
        assert own_writes.rounds("web", [file]) == 0
