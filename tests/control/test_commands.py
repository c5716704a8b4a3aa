"""Commands that run at the same time, and what they leave behind."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from mesh.control.client import ask
from mesh.control.server import ControlServer
from mesh.observing.journal import Change, Line
from tests.support.supervised import ECHO, supervised

DECLARED = """\
[services.busy]
http = { port = 5001, app = "busy:app" }

[services.quiet]
http = { port = 5002, app = "quiet:app" }
"""


def test_a_hundred_restarts_at_once_are_done_in_turn_and_end_with_a_service_that_answers(tmp_path: Path) -> None:
    files = {"mesh.toml": DECLARED, "busy.py": ECHO, "quiet.py": ECHO}
    with supervised(tmp_path, files) as project, closing(ControlServer(project.supervisor)) as control:
        control.start()
        with ThreadPoolExecutor(16) as pool:
            answers = list(
                pool.map(lambda _: ask(control.running, "POST", "/api/services/busy/restart", 60), range(100))
            )
        assert answers == [{}] * 100
        for command, state in (("stop", "stopped"), ("start", "ready")):
            before = len(project.entries)
            ask(control.running, "POST", f"/api/services/busy/{command}", 60)
            project.change("busy", state, since=before)
        assert project.get("busy", "/here").text == "/here"
        assert project.get("quiet", "/here").text == "/here"
        states = [each.state for each in project.entries if isinstance(each, Change) and each.service == "busy"]
        assert states == ["starting", "ready", "stopping", "stopped", "starting", "ready"]
        assert [each for each in project.entries if isinstance(each, Change) and each.service == "quiet"][2:] == []
        assert json.dumps(ask(control.running, "GET", "/api/state")).count('"ready"') == 2


NOISY = """\
import os, sys, time
sys.stdout.buffer.write(os.urandom(1_000_000) * 10)
sys.stdout.buffer.write(b"\\nafter \\x1b]0;title\\x07\\x1b[2J\\x00\\xff the noise\\n")
sys.stdout.flush()
time.sleep(60)
"""


def test_binary_output_of_a_command_fills_no_memory_and_the_next_line_is_read(tmp_path: Path) -> None:
    files = {"mesh.toml": '[services.noisy]\ncommand = "python noisy.py"\n', "noisy.py": NOISY}
    with supervised(tmp_path, files) as project:
        line = project.line("noisy", "the noise")
        kept = [each for each in project.supervisor.journal.entries() if isinstance(each, Line)]
    assert line.text == "after \x1b]0;title\x07\x1b[2J\x00\ufffd the noise"
    assert max(len(each.text) for each in kept) <= 16 * 1024
