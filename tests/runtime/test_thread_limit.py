"""A user may start only so many threads: a start that needs more is refused, and what runs goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal

import pytest

from tests.support.programs import MESH, Shell, Up, get

pytestmark = pytest.mark.skipif(
    shutil.which("prlimit") is None or shutil.which("setpriv") is None, reason="util-linux is not installed"
)

WEB = '[services.{name}]\nhttp = {{port = 0, app = "web:app"}}\n'
APP = """
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})
"""


def limited(shell: Shell, threads: int) -> Up:
    """`mesh up` of a user who may start so many threads and processes."""
    words = ["prlimit", f"--nproc={threads}", *MESH, "up", "--json", "--memory", "--free-ports"]
    if os.geteuid() == 0:  # the limit is not root's
        user = random.randrange(2**20, 2**21)
        shell.folder.chmod(0o777)
        keep = "-all,+dac_override,+fowner"
        user_words = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        words = ["setpriv", *user_words, f"--inh-caps={keep}", f"--ambient-caps={keep}", *words]
    elif threads:
        pytest.skip("the user's other programs count too")
    started = Up(words, shell.folder, shell.env)
    shell.programs.append(started)
    return started


def test_a_limit_that_is_too_low_is_told_before_anything_starts(shell: Shell) -> None:
    mesh = limited(shell, 20)
    assert mesh.end() == 1
    assert mesh.out == []
    assert mesh.err == [
        "mesh: only 20 processes and threads may run here, and most of them do; 4 services need about 28: end some "
        "programs, or raise the limit with `ulimit -u` (in a container, `--pids-limit`)\n"
    ]


def test_a_service_that_gets_no_thread_fails_and_the_others_go_on(shell: Shell) -> None:
    shell.write({"mesh.toml": WEB.format(name="first"), "web.py": APP})
    mesh = limited(shell, 23)
    url = mesh.http("first")
    assert get(url).text == "here"
    more = "".join(WEB.format(name=f"more{number}") for number in range(12))
    shell.write({"mesh.toml": WEB.format(name="first") + more})
    mesh.wait_for(lambda: [each for each in mesh.events() if "no thread for it" in str(each.get("reason"))])
    assert get(url).text == "here"
    assert mesh.end(signal.SIGTERM) == 1  # as some services have failed
    assert "Traceback" not in mesh.text()
