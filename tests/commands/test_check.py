"""`mesh check`: what it lists beside mistakes of the declaration."""

from __future__ import annotations

from tests.support.programs import Shell
from tests.support.supervised import ECHO

TOML = """\
    [services.web]
    root = "web"
    http = { port = 5000, app = "shop.main:app" }
    env = { PYTHONPATH = "src", GREETING = "hello ${NOBODY_SETS_THIS}" }

    [services.gone]
    http = { port = 5001, app = "shop.views:app" }
    grpc = { port = 5002, servicers = ["web/rpc.py:Servicer", "web.src.shop.main:app"] }

    [services.module]
    run = "-m shop.server"

    [services.standard]
    run = "-m http.server 5003"
    http = 5003

    [services.script]
    root = "web"
    run = "python server.py"

    [services.node]
    command = "node gone.js"
    """


def test_what_is_named_and_not_there_is_told(shell: Shell) -> None:
    shell.write(
        {"mesh.toml": TOML, "web/src/shop/main.py": ECHO, "web/requirements.txt": "no-such-package>=2\nclick\n"}
    )
    checked = shell.run("check")
    assert checked.process.returncode == 0
    assert checked.out == [
        "services.web.env.GREETING names the variable NOBODY_SETS_THIS, which has no value; it is left empty\n",
        "web: requires no-such-package>=2 (not installed); `mesh install` installs what it requires\n",
        f'gone: "shop.views:app" names the module shop.views, which is not in {shell.folder}\n',
        f'gone: "web/rpc.py:Servicer" names the file web/rpc.py, which is not in {shell.folder}\n',
        f'module: run = "-m shop.server" names the module shop.server, which is not in {shell.folder}\n',
        'script: run = "python server.py" names the file server.py, which is not in web\n',
        "script: requires no-such-package>=2 (not installed); `mesh install` installs what it requires\n",
        f"{shell.folder.name}: 6 services, 4 listeners, no mistake ({shell.folder}/mesh.toml)\n",
    ]


def test_a_draft_is_checked_before_it_is_written(shell: Shell) -> None:
    shell.write({"compose.yaml": "services: {web: {build: ., command: uvicorn app:app}}\n", "app.py": ECHO})
    checked = shell.run("check")
    assert (checked.process.returncode, checked.out) == (
        0,
        [f"{shell.folder.name}: 1 service, 1 listener, no mistake (from compose.yaml)\n"],
    )
