"""`mesh run`: a command in the world of a service."""

from __future__ import annotations

import sys

from tests.support.programs import Shell
from tests.support.supervised import ECHO

TOML = """\
    [services.web]
    root = "web"
    http = { port = 17801, app = "app:app" }
    env = { WHO = "ada", USERS = "http://users:8080/" }

    [services.users]
    http = { port = 17802, app = "app:app", aliases = ["users:8080"] }
    """
SHOW = """\
    import os, sys, urllib.request

    print(os.getcwd().rpartition("/")[2], os.environ["WHO"], os.environ["USERS"], sys.argv[1:])
    if "--ask" in sys.argv:
        print(urllib.request.urlopen("http://users:8080/asked", timeout=30).read().decode())
    sys.exit(7)
    """


def test_a_command_runs_in_the_folder_and_with_the_variables_of_the_service(shell: Shell) -> None:
    shell.write({"mesh.toml": TOML, "web/show.py": SHOW, "web/app.py": ECHO, "app.py": ECHO})
    ran = shell.run("run", "web", "--", sys.executable, "show.py", "--only", "-h")
    assert (ran.process.returncode, ran.out) == (7, ["web ada http://127.0.0.1:17802/ ['--only', '-h']\n"]), ran.text()


def test_names_lead_to_the_mesh_that_runs(shell: Shell) -> None:
    shell.write({"mesh.toml": TOML, "web/show.py": SHOW, "web/app.py": ECHO, "app.py": ECHO})
    up = shell.up("--free-ports")
    address = up.http("users")
    ran = shell.run("run", "web", "python", "show.py", "--ask")
    assert ran.out == [f"web ada {address}/ ['--ask']\n", "/asked\n"], ran.text()


def test_what_cannot_be_run_is_told(shell: Shell) -> None:
    shell.write({"mesh.toml": TOML, "web/app.py": ECHO, "app.py": ECHO})
    unknown = shell.run("run", "wep", "--", "true")
    assert (unknown.process.returncode, unknown.err) == (
        2,
        ["mesh: no service is named 'wep'; did you mean 'web'? known services: web, users\n"],
    )
    missing = shell.run("run", "web", "no-such-program")
    assert (missing.process.returncode, missing.err) == (
        1,
        ["mesh: no-such-program cannot be run in the world of web: No such file or directory\n"],
    )
    nothing = shell.run("run", "web")
    assert nothing.process.returncode == 2
