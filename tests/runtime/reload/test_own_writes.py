"""Services that write the files for which they are loaded."""

from __future__ import annotations

from pathlib import Path

from mesh.observing.journal import Line
from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, supervised

TOML = '[services.web]\nhttp = { port = 0, app = "app:app" }\n'
WRITES = """\
    import pathlib
    import time

    here = pathlib.Path(__file__).parent
    (here / "made.py").write_text(WHAT)
    print("a load")
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
        # A load that ends within the clock tick of its write is not counted: it may have been an edit.
        assert 3 <= loads(project) <= 9
        since = len(project.entries)
        (tmp_path / "app.py").write_text((tmp_path / "app.py").read_text().replace("a load", "the edit"))
        project.line("web", "the edit", since)
        assert project.get("web", "/", PATIENCE).status_code == 200


def test_a_service_that_writes_the_same_at_each_load_is_not_loaded_for_that(tmp_path: Path) -> None:
    code = WRITES.replace("WHAT", '"WORD = 1"').replace("made.WORD.encode()", 'b"fine"')
    with supervised(tmp_path, {"mesh.toml": TOML, "app.py": code}, Options(watch=True)) as project:
        project.line("web", "(made.py)")
        since = len(project.entries)
        (tmp_path / "app.py").write_text((tmp_path / "app.py").read_text().replace("a load", "the edit"))
        project.line("web", "(app.py)", since)
        assert loads(project) == 2
