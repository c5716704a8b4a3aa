"""What calls write while the next code is loaded is state, as what they wrote before; it is no write of that code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.editing import Edited, toml
from tests.support.supervised import GATES, PATIENCE, gate

#: A call to /slow writes only once the next code is being loaded, which goes on once it has written.
APP = """
    import state
    from tests.support.supervised import gate

    if {waits}:
        gate("loads").set()
        assert gate("written").wait({patience})

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            gate("began").set()
            assert gate("loads").wait({patience})
        {writes}
        gate("written").set()
        start_response("200 OK", [])
        return [f"{{state.count}} {{state.words}} {word}".encode()]
"""
STATE = "count = 0\nwords = {'last': 'none'}\nnames = []\nclass Counter:\n    count = 0\n"
WRITES = {
    "a count": ("state.count += 1", "2 {'last': 'none'}", "1 of 2"),
    "a count of a class": ("state.Counter.count += 1", "0 {'last': 'none'}", "1 of 2"),
    "a value in a dict": ("state.words['last'] += '!'", "0 {'last': 'none!!'}", "1 of 2"),
    "an equal text": ("state.words['last'] = ''.join(['no', 'ne'])", "0 {'last': 'none'}", "1 of 2"),
    # It could be a registration.
    "one more in a list": ("state.names.append(1)", "0 {'last': 'none'}", "2 of 2"),
    "another object": ("state.words = {**state.words}", "0 {'last': 'none'}", "2 of 2"),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_call_that_writes_while_the_next_code_is_loaded(tmp_path: Path, what: str) -> None:
    writes, says, executed = WRITES[what]

    def app(waits: bool, word: str) -> str:
        return APP.format(waits=waits, writes=writes, word=word, patience=PATIENCE)

    files = {
        "mesh.toml": toml(one='http = {port = 0, app = "app:app"}'),
        "state.py": STATE,
        "app.py": app(False, "old"),
    }
    try:
        with Edited(tmp_path, files) as edited, ThreadPoolExecutor(1) as pool:
            edited.get("one")
            gate("written").clear()
            slow = pool.submit(edited.get, "one", "/slow")
            assert gate("began").wait(PATIENCE)
            line = edited.reload("one", {"app.py": app(True, "new")})
            assert slow.result(PATIENCE) == f"{says} old"
            assert f"{executed} modules" in line
    finally:
        GATES.clear()


def test_code_that_writes_where_calls_do_not_is_noticed(tmp_path: Path) -> None:
    """Next to what they write, in the same namespace."""
    counting = APP.format(waits=False, writes="state.count += 1", word="old", patience=PATIENCE)
    setting = counting.replace("old", "new").replace("import state", "import state\n    state.names = ['set']")
    files = {"mesh.toml": toml(one='http = {port = 0, app = "app:app"}'), "state.py": STATE, "app.py": counting}
    try:
        with Edited(tmp_path, files) as edited:
            assert edited.get("one") == "1 {'last': 'none'} old"
            assert "1 of 2 modules" in edited.reload("one", {"app.py": counting.replace("old", "older")})
            assert edited.get("one") == "2 {'last': 'none'} older"
            assert "2 of 2 modules" in edited.reload("one", {"app.py": setting})
            assert edited.get("one") == "1 {'last': 'none'} new"
    finally:
        GATES.clear()
