"""Services of one mesh with virtual environments beside their code, found without a word in mesh.toml."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path

import pytest

from mesh.observing.journal import Line
from mesh.topology.declaration.mistakes import TopologyError
from mesh.topology.declaration.reading import read
from tests.support.editing import Edited
from tests.support.supervised import supervised, write
from tests.support.virtualenvs import distribution, make_virtualenv

APP = """
    import json
    from importlib.metadata import version
    import greeting
    async def app(scope, receive, send):
        import greeting as late
        told = json.dumps([greeting.VERSION, late.VERSION, version("greeting")])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": told.encode()})
"""


def greeting(version: str) -> dict[str, str]:
    return {"greeting.py": f"VERSION = '{version}'\n", **distribution("greeting", version)}


def test_each_service_has_the_packages_of_the_nearest_environment(tmp_path: Path) -> None:
    """The first beside its code, the second by its table, the third in the project's folder."""
    folders = {"users": "users/.venv", "orders": "elsewhere/env", "stock": ".venv"}
    for number, folder in enumerate(folders.values()):
        make_virtualenv(tmp_path / folder, greeting(f"{number}.0"))
    tables = [f'[services.{name}]\nroot = "{name}"\nhttp = {{ port = 0, app = "app:app" }}\n' for name in folders]
    tables[1] += 'python = "elsewhere/env/bin/python"\n'
    files = {"mesh.toml": "".join(tables), **{f"{name}/app.py": APP for name in folders}}
    with supervised(tmp_path, files) as project:
        for number, name in enumerate(folders):
            assert project.get(name, "/").json() == [f"{number}.0"] * 3


def test_later_generations_have_the_same_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generation is made in the context of the one before, in which `sys` has the environment's prefix."""
    write(tmp_path / "process", {"greeting.py": "VERSION = 'of mesh'\n"})
    monkeypatch.syspath_prepend(tmp_path / "process")
    make_virtualenv(tmp_path / ".venv", greeting("1.0"))
    table = '[services.web]\npython = ".venv"\nhttp = { port = 0, app = "app:app" }\n'
    app = textwrap.dedent(APP)
    with Edited(tmp_path, {"mesh.toml": table, "app.py": app, "kept.py": ""}) as edited:
        for number in range(4):
            assert json.loads(edited.get("web")) == ["1.0"] * 3
            edited.reload("web", {"app.py": f"import kept\n{app}# {number}\n"})


def test_a_python_that_is_no_environment_is_a_mistake_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    text = '[services.users]\npython = "gone/.venv"\nhttp = { port = 0, app = "app:app" }\n'
    with pytest.raises(TopologyError, match=r"users\.python: .*/gone/\.venv: there is no such file"):
        read(text, file, file)


@pytest.mark.parametrize("statement", ["import fast", "import greeting._fast", "from greeting import _fast"])
def test_an_extension_for_another_python_is_named_with_both_versions(tmp_path: Path, statement: str) -> None:
    packages = make_virtualenv(tmp_path / "web" / ".venv", {"greeting/__init__.py": ""})
    for name in ("fast", "greeting/_fast"):
        (packages / f"{name}.cpython-399-x86_64-linux-gnu.so").touch()
    files = {
        "mesh.toml": '[services.web]\nroot = "web"\nhttp = { port = 0, app = "app:app" }\n',
        "web/app.py": statement,
    }
    with supervised(tmp_path, files) as project:
        reason = project.supervisor.snapshot["web"].reason or ""
    here = "{}.{}".format(*sys.version_info)
    assert reason.endswith(
        f"fast.cpython-399-x86_64-linux-gnu.so is for Python 3.99, and this mesh runs on {here}: make the environment "
        f"with Python {here}, or install mesh with 3.99"
    )


@pytest.mark.parametrize("declared", ["", 'isolation = "thread"'])
def test_the_second_copy_of_a_library_that_is_global_to_a_process_gets_a_process(tmp_path: Path, declared: str) -> None:
    """The third service has the environment of the first."""
    app = """
        import os, torch
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": f"{torch.VERSION} {os.getpid()}".encode()})
    """
    tables = ""
    for name, environment in (("users", "one"), ("orders", "two"), ("stock", "one")):
        make_virtualenv(tmp_path / environment, {"torch/__init__.py": f"VERSION = '{environment}'\n"})
        tables += f'[services.{name}]\nroot = "."\npython = "{environment}"\nhttp = {{ port = 0, app = "app:app" }}\n'
        tables += f"{declared}\n" if name == "orders" else ""
    said = (
        "torch can be loaded once in a process, and users has another copy of it: orders runs in a process of its own; "
        'isolation = "thread" overrules that'
    )
    with supervised(tmp_path, {"mesh.toml": tables, "app.py": app}) as project:
        found = {name: project.get(name, "/").text.split() for name in ("users", "orders", "stock")}
        assert {name: version for name, (version, _) in found.items()} == {
            "users": "one",
            "orders": "two",
            "stock": "one",
        }
        apart = {name for name, (_, pid) in found.items() if int(pid) != os.getpid()}
        assert apart == (set() if declared else {"orders"})
        assert [each.text for each in project.entries if isinstance(each, Line) and each.text == said] == (
            [] if declared else [said]
        )
