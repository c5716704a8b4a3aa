"""Code that does as it is imported what can be done once in a process, such as binding a port, and its edits."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from mesh.runtime.options import Options
from tests.support.ports import free_row
from tests.support.supervised import ECHO, PATIENCE, gate, supervised

#: The test closes what the code has opened.
BINDINGS = {
    "http.server": (
        "from http.server import HTTPServer\nfrom tests.support.supervised import gate\n"
        "gate('opened').server = HTTPServer(('127.0.0.1', {port}), None).socket\n"
    ),
    "kept in state": (
        "import socket\nfrom mesh import state\nfrom tests.support.supervised import gate\n"
        "state['server'] = state.get('server') or socket.create_server(('127.0.0.1', {port}))\n"
        "gate('opened').server = state['server']\n"
    ),
}
TOML = '[services.one]\nhttp = { port = 0, app = "app:app" }\n'


@pytest.mark.parametrize("how", ["http.server", "kept in state"])
def test_the_edit_is_live_or_the_port_the_holder_and_the_way_out_are_told(tmp_path: Path, how: str) -> None:
    port = free_row(1)
    code = BINDINGS[how].format(port=port) + ECHO
    options = Options(watch=True, start_within=PATIENCE)
    with (
        supervised(tmp_path, {"mesh.toml": TOML, "app.py": code}, options) as project,
        closing(gate("opened").server),  # type: ignore[attr-defined]
    ):
        since = len(project.entries)
        (tmp_path / "app.py").write_text(code.replace('scope["path"].encode()', 'b"edited"'))
        if how == "kept in state":
            project.line("one", "live in", since)
            assert project.get("one", "/").text == "edited"
            return
        reason = project.change("one", "ready", "Address already in use", since).reason
    assert str(reason).endswith(
        f"Address already in use; port {port} is held by the code before the edit: keep what binds it in "
        'mesh.state, from which the next code takes it, or give the service isolation = "process"'
    )


ONCE = """\
from tests.support.supervised import gate
if gate("once").is_set():
    raise RuntimeError("listen() has already been called on this process")
gate("once").set()
"""


def test_what_a_library_does_once_is_told_with_the_way_out(tmp_path: Path) -> None:
    files = {"mesh.toml": TOML, "app.py": ONCE + ECHO}
    with supervised(tmp_path, files, Options(watch=True, start_within=PATIENCE)) as project:
        since = len(project.entries)
        (tmp_path / "app.py").write_text(ONCE + ECHO + "\n")
        reason = str(project.change("one", "ready", "already been called", since).reason)
        assert project.get("one", "/").text == "/"
    assert reason.endswith(
        "listen() has already been called on this process; if that can be done once in a process, keep what it made in "
        'mesh.state, or give the service isolation = "process"'
    )


@pytest.mark.parametrize("how", ["a port", "a library"])
def test_a_service_in_a_process_gets_a_fresh_one(tmp_path: Path, how: str) -> None:
    """Its HTTP callers wait meanwhile. Later edits, which need none, are loaded live."""
    port = free_row(1)
    once = ONCE if how == "a library" else f"import socket\nserver = socket.create_server(('127.0.0.1', {port}))\n"
    files = {"mesh.toml": f'{TOML}isolation = "process"\n', "app.py": once + ECHO}
    with supervised(tmp_path, files, Options(watch=True, start_within=PATIENCE)) as project:
        since = len(project.entries)
        (tmp_path / "app.py").write_text((once + ECHO).replace('scope["path"].encode()', 'b"edited"'))
        line = project.line("one", "restarted in ", since)
        assert line.text.endswith("(in a fresh process, which its code needs)")
        assert project.get("one", "/").text == "edited"
        assert [each for each in project.entries[since:] if "Traceback" in getattr(each, "text", "")] == []
        since = len(project.entries)
        (tmp_path / "app.py").write_text(ECHO)
        project.line("one", "live in ", since)
        assert project.get("one", "/").text == "/"
