"""A changed file reloads exactly the services that it affects, beside the code that serves."""

from __future__ import annotations

import http.client
import os
import sys
import threading
from pathlib import Path

import pytest

from mesh import Http, Service
from mesh.observing.journal import Change, Line
from mesh.runtime.messages import ServiceCommand
from mesh.runtime.reload.change_set import ChangeSet
from tests.support.compiled import KINDS, compile_extension, needs_compiler
from tests.support.editing import Edited, is_kept, is_live, plain, toml
from tests.support.supervised import gate

ONE = {"mesh.toml": toml(one='http = {port = 0, app = "one:app"}'), "one.py": plain("1")}
TWO = {
    "mesh.toml": toml(one='http = {port = 0, app = "one:app"}', two='http = {port = 0, app = "two:app"}'),
    "one.py": plain("shared.WORD", "import shared"),
    "two.py": plain("2"),
    "shared.py": "WORD = 'a'",
}


def generations(edited: Edited) -> dict[str, int]:
    return {each.name: each.generation for each in edited.supervisor.snapshot.services}


def test_a_saved_file_is_live_and_the_line_says_which(tmp_path: Path) -> None:
    with Edited(tmp_path, ONE) as edited:
        assert edited.get("one") == "1"
        assert edited.reload("one", {"one.py": plain("2")}).endswith(" ms  (one.py; 1 of 1 module)")
        assert edited.get("one") == "2"


def test_a_shared_module_reloads_exactly_its_dependants(tmp_path: Path) -> None:
    with Edited(tmp_path, TWO) as edited:
        edited.reload("one", {"shared.py": "WORD = 'b'"})
        assert edited.get("one") == "b"
        edited.reload("two", {"two.py": plain("3")})
        assert generations(edited) == {"one": 2, "two": 2}


def test_a_file_that_a_request_imports_late_belongs_to_the_service(tmp_path: Path) -> None:
    files = {**TWO, "two.py": plain("__import__('late').WORD"), "late.py": "WORD = 'early'"}
    with Edited(tmp_path, files) as edited:
        assert edited.get("two") == "early"
        edited.reload("two", {"late.py": "WORD = 'late'"})
        assert edited.get("two") == "late"
        assert generations(edited) == {"one": 1, "two": 2}


def test_a_template_that_watch_names_reloads_its_service(tmp_path: Path) -> None:
    files = {
        "mesh.toml": toml(
            one='root = "one"\nwatch = ["templates/**/*.html"]\nhttp = {port = 0, app = "app:app"}',
            two='root = "two"\nhttp = {port = 0, app = "app:app"}',
        ),
        "one/app.py": plain("TEXT", "from pathlib import Path\nTEXT = Path('templates/a.html').read_text()"),
        "one/templates/a.html": "old",
        "two/app.py": plain("2"),
        "two/templates/a.html": "nobody's",
    }
    with Edited(tmp_path, files) as edited:
        edited.tell(["two/templates/a.html", "one/templates/a.txt"])
        edited.reload("one", {"one/templates/a.html": "new"})
        assert edited.get("one") == "new"
        assert generations(edited) == {"one": 2, "two": 1}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("def app(:\n    pass", "one.py:1: SyntaxError"),
        ("\nimport no_such_module", "one.py:2: ModuleNotFoundError"),
        ("\n\n1 / 0", "one.py:3: ZeroDivisionError"),
        ("import sys\nsys.exit(3)", "one.py:2: called sys.exit(3)"),
        ("other = 1", "has no 'app'"),
    ],
)
def test_a_broken_edit_leaves_the_old_code_until_the_next_good_save(tmp_path: Path, broken: str, said: str) -> None:
    with Edited(tmp_path, ONE) as edited:
        with edited.awaiting(lambda entry: is_kept(entry, "one")) as kept:
            edited.save({"one.py": broken})
        assert said in kept[0].reason
        assert edited.get("one") == "1"
        edited.reload("one", ONE)
        state = edited.supervisor.snapshot["one"]
        assert (state.state, state.reason) == ("ready", None)


STARTING = """
    from contextlib import asynccontextmanager
    from starlette.applications import Starlette

    @asynccontextmanager
    async def lifespan(app):
        {start}
        yield

    app = Starlette(lifespan=lifespan)
"""


def test_a_start_up_that_fails_leaves_the_old_code_and_shows_where(tmp_path: Path) -> None:
    with Edited(tmp_path, ONE) as edited:
        with edited.awaiting(lambda entry: is_kept(entry, "one")) as kept:
            edited.save({"one.py": STARTING.format(start="raise RuntimeError('no database')")})
        assert "no database" in kept[0].reason
        assert any('one.py", line 7, in lifespan' in text for text in edited.lines("one"))
        assert edited.get("one") == "1"


def test_a_start_up_that_waits_for_ever_gives_way_to_the_next_save(tmp_path: Path) -> None:
    waiting = "print('waiting'); import asyncio; await asyncio.Event().wait()"
    with Edited(tmp_path, ONE) as edited:
        with edited.awaiting(lambda entry: isinstance(entry, Line) and entry.text == "waiting"):
            edited.save({"one.py": STARTING.format(start=waiting)})
        assert edited.get("one") == "1"
        edited.reload("one", {"one.py": plain("3")})
        assert edited.get("one") == "3"


def test_a_save_during_the_first_start_is_not_lost(tmp_path: Path) -> None:
    blocking = "import pathlib, time\nprint('begun')\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    edited = Edited(tmp_path, {**ONE, "one.py": plain("1", blocking)})
    starting = threading.Thread(target=edited.supervisor.start)
    with edited.awaiting(lambda entry: is_live(entry, "one")):
        with edited.awaiting(lambda entry: isinstance(entry, Line) and entry.text == "begun"):
            starting.start()
        edited.save({"one.py": plain("2")})
        (tmp_path / "go").touch()
    starting.join()
    assert edited.get("one") == "2"
    edited.mesh.close()


def test_an_edit_in_the_moment_in_which_a_load_ends_is_not_lost(tmp_path: Path) -> None:
    class Loading:
        watches_itself = False
        has_loaded = False

        def is_current(self) -> bool:
            return self.has_loaded

        def files(self) -> frozenset[Path]:
            self.has_loaded = True  # by the thread that loads, after nothing was found here
            return frozenset()

    service = Service("one", http=Http((0,), app="one:app"), root=tmp_path)
    assert ChangeSet([tmp_path / "one.py"]).affects(service, Loading(), [], tmp_path / "none") == "one.py"


def test_a_service_that_never_came_up_is_tried_again_when_a_file_it_lacked_is_written(tmp_path: Path) -> None:
    with Edited(tmp_path, {**ONE, "one.py": plain("new.WORD", "import new")}) as edited:
        assert edited.supervisor.snapshot["one"].state == "failed"
        with edited.awaiting(lambda entry: isinstance(entry, Change) and entry.state == "ready"):
            edited.save({"new.py": "WORD = 'here'"})
        assert edited.get("one") == "here"


def test_a_service_whose_new_code_lacks_a_file_is_tried_again_when_that_is_written(tmp_path: Path) -> None:
    with Edited(tmp_path, ONE) as edited:
        with edited.awaiting(lambda entry: is_kept(entry, "one")):
            edited.save({"one.py": plain("new.WORD", "import new")})
        edited.reload("one", {"new.py": "WORD = 'here'"})
        assert edited.get("one") == "here"


def test_a_deleted_file_keeps_the_old_code_and_its_return_is_live(tmp_path: Path) -> None:
    with Edited(tmp_path, TWO) as edited:
        with edited.awaiting(lambda entry: is_kept(entry, "one")):
            (tmp_path / "shared.py").unlink()
            edited.tell(["shared.py"])
        assert edited.get("one") == "a"
        edited.reload("one", {"shared.py": "WORD = 'b'"})
        assert edited.get("one") == "b"


def test_a_folder_that_went_as_a_whole_is_missed(tmp_path: Path) -> None:
    files = {**ONE, "one.py": plain("package.inner.WORD", "import package.inner"), "package/inner.py": "WORD = 'a'"}
    with Edited(tmp_path, files) as edited:
        with edited.awaiting(lambda entry: is_kept(entry, "one")):
            (tmp_path / "package").rename(tmp_path / "elsewhere")
            edited.tell(["package", "elsewhere"])
        assert edited.get("one") == "a"


def test_another_file_of_the_same_size_and_second_in_its_place_is_not_taken_for_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with Edited(tmp_path, TWO) as edited:
        edited.write({"other.py": "WORD = 'z'"})
        for name in ("shared.py", "other.py"):
            os.utime(tmp_path / name, (1_000_000_000, 1_000_000_000))
        with edited.awaiting(lambda entry: is_live(entry, "one")):
            edited.tell(["shared.py"])
        with edited.awaiting(lambda entry: is_live(entry, "one")):
            (tmp_path / "other.py").replace(tmp_path / "shared.py")
            edited.tell(["shared.py"])
        assert edited.get("one") == "z"


BLOCKED = "from tests.support.supervised import gate\nprint('loads')\ngate('saved').wait(60)"


def test_many_saves_while_one_is_loaded_are_one_reload_and_the_last_code_serves(tmp_path: Path) -> None:
    with Edited(tmp_path, TWO) as edited:
        edited.save({"one.py": plain("2", BLOCKED)})
        edited.until(lambda: "loads" in edited.lines("one"))
        for number in range(3, 20):
            edited.save({"one.py": plain(str(number))})
        edited.reload("two", {"two.py": plain("3")})  # by now, all before has been heard
        gate("saved").set()
        edited.until(lambda: generations(edited)["one"] == 3)
        assert edited.get("one") == "19"


def test_restarts_and_saves_at_once_end_on_the_newest_code(tmp_path: Path) -> None:
    with Edited(tmp_path, ONE) as edited:
        for number in range(30):
            edited.supervisor.post(ServiceCommand("one", "restart"))
            edited.save({"one.py": plain(str(number), f"print('at', {number})")})
        edited.until(lambda: "at 29" in edited.lines("one") and is_live(edited.last("one"), "one"))
        known = len(edited.lines("one"))
        # That line comes from the load, which serves a moment later: the newest news may be of an earlier load.
        if edited.get("one") != "29":
            edited.until(lambda: len(edited.lines("one")) > known and is_live(edited.last("one"), "one"))
            assert edited.get("one") == "29"
        assert edited.supervisor.snapshot["one"].state == "ready"


def test_mesh_state_and_the_connection_outlive_a_reload_and_module_globals_do_not(tmp_path: Path) -> None:
    code = plain("count()", "from mesh import state\nown = []") + (
        "\ndef count():\n    own.append(1)\n    state['n'] = state.get('n', 0) + 1\n    return (len(own), state['n'])\n"
    )
    with Edited(tmp_path, {**ONE, "one.py": code}) as edited:
        address = edited.mesh.address("one.http")
        kept = http.client.HTTPConnection(address.host, address.port, timeout=20)
        told = []
        for _ in range(3):
            kept.request("GET", "/")
            socket = kept.sock
            told.append(kept.getresponse().read())
            assert kept.sock is socket
            edited.reload("one", {"one.py": code})
        kept.close()
        assert told == [b"(1, 1)", b"(1, 2)", b"(1, 3)"]


HOOKS = """
    from contextlib import asynccontextmanager
    from starlette.applications import Starlette
    from starlette.responses import StreamingResponse, PlainTextResponse
    from starlette.routing import Route
    import asyncio, pathlib

    WORD = "{word}"

    @asynccontextmanager
    async def lifespan(app):
        print("up", WORD)
        yield
        print("down", WORD)

    async def stream(request):
        async def parts():
            yield WORD
            while not pathlib.Path("end").exists():
                await asyncio.sleep(0.01)
            yield WORD
        return StreamingResponse(parts())

    app = Starlette(routes=[Route("/stream", stream)], lifespan=lifespan)
"""


def test_the_old_lifespan_ends_once_after_the_calls_that_began_on_it(tmp_path: Path) -> None:
    with Edited(tmp_path, {**ONE, "one.py": HOOKS.format(word="a")}) as edited:
        answer = edited.mesh.http("one").get("/stream", stream=True, timeout=20)
        chunks = answer.iter_content(1)
        assert next(chunks) == b"a"
        edited.reload("one", {"one.py": HOOKS.format(word="b")})
        assert hooks(edited) == ["up a", "up b"]
        with edited.awaiting(lambda entry: isinstance(entry, Line) and entry.text == "down a"):
            (tmp_path / "end").touch()
            assert b"".join(chunks) == b"a"
        answer.close()
    assert hooks(edited) == ["up a", "up b", "down a", "down b"]


def hooks(edited: Edited) -> list[str]:
    return [text for text in edited.lines("one") if text.startswith(("up", "down"))]


def test_metadata_registries_of_two_generations_do_not_clash(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy"), pytest.importorskip("prometheus_client")
    code = """
        from prometheus_client import Counter, generate_latest
        from sqlalchemy import Column, Integer, String
        from sqlalchemy.orm import DeclarativeBase, configure_mappers

        class Base(DeclarativeBase): pass

        class Item(Base):
            __tablename__ = "items"
            id = Column(Integer, primary_key=True)
            name = Column(String)

        configure_mappers()
        ASKED = Counter("asked", "Requests.")

        def app(environ, start_response):
            ASKED.inc()
            start_response("200 OK", [])
            return [generate_latest()]
    """
    with Edited(tmp_path, {**ONE, "one.py": code}) as edited:
        for _ in range(3):
            assert "\nasked_total 1.0\n" in edited.get("one")
            edited.reload("one", {"one.py": code})


def test_an_installed_c_extension_is_loaded_once_and_shared(tmp_path: Path) -> None:
    code = plain("(id(_message), os.getpid())", "import os\nfrom google._upb import _message")
    with Edited(tmp_path, {**ONE, "one.py": code}) as edited:
        before = edited.get("one")
        edited.reload("one", {"one.py": code})
        assert edited.get("one") == before


@needs_compiler
@pytest.mark.parametrize("kind", KINDS)
def test_a_compiled_extension_of_the_services_own_is_live_and_missed(tmp_path: Path, kind: str) -> None:
    library = compile_extension(tmp_path, "fast", "first", kind)
    with Edited(tmp_path, {**ONE, "one.py": plain("fast.word()", "import fast")}) as edited:
        assert edited.get("one") == "first"
        with edited.awaiting(lambda entry: is_live(entry, "one")) as found:
            compile_extension(tmp_path, "fast", "second", kind)
            edited.tell([library.name])
        assert found[0].text.endswith(f"({library.name}; 1 of 1 module)")
        assert edited.get("one") == "second"
        with edited.awaiting(lambda entry: is_kept(entry, "one")):
            library.unlink()
            edited.tell([library.name])
        assert edited.get("one") == "second"
        with edited.awaiting(lambda entry: is_live(entry, "one")):
            compile_extension(tmp_path, "fast", "third", kind)
            edited.tell([library.name])
        assert edited.get("one") == "third"
