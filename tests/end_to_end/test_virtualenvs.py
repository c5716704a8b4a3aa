"""Services whose packages conflict, each with a virtual environment filled from the package index, in one process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mesh.runtime.messages import Changed
from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, Project, supervised
from tests.support.virtualenvs import install, make_virtualenv

#: A web framework, and below it an extension in C and one in Rust.
WHEELS = {
    "old": ("fastapi==0.104.1", "pydantic==2.8.2", "markupsafe==3.0.1"),
    "new": ("fastapi==0.165.0", "pydantic==2.14.4", "markupsafe==3.0.3"),
}
APP = """
    import os, pickle
    from importlib.metadata import version
    import fastapi, markupsafe, pydantic
    from markupsafe import _speedups
    from pydantic_core import _pydantic_core

    app = fastapi.FastAPI()

    class Item(pydantic.BaseModel):
        name: str
        count: int = 1

    @app.get("/versions")
    def versions() -> list[str]:
        import fastapi, pydantic
        return [fastapi.__version__, pydantic.VERSION, version("markupsafe"), version("fastapi")]

    @app.get("/files")
    def files() -> list[str]:
        return [_speedups.__file__, _pydantic_core.__file__, fastapi.__file__]

    @app.post("/items")
    async def add(item: Item) -> Item:
        with open("item.pickle", "wb") as file:
            pickle.dump((item, markupsafe.escape("<")), file)
        return item
"""


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("environments")
    for name, wheels in WHEELS.items():
        make_virtualenv(folder / name)
        install(folder / name, *wheels)
    return {name: folder / name for name in WHEELS}


def test_two_versions_of_a_framework_and_of_extensions_in_c_and_rust(
    tmp_path: Path, environments: dict[str, Path]
) -> None:
    table = "".join(
        f'[services.{name}]\nroot = "{name}"\npython = "{environments[name]}"\nhttp = {{ port = 0, app = "app:app" }}\n'
        for name in WHEELS
    )
    files = {"mesh.toml": table, **{f"{name}/app.py": APP for name in WHEELS}}
    with supervised(tmp_path, files, Options(start_within=PATIENCE)) as project:
        for name, (fastapi, pydantic, markupsafe) in WHEELS.items():
            _answers_with(project, name, [each.partition("==")[2] for each in (fastapi, pydantic, markupsafe, fastapi)])
            for file in project.get(name, "/files").json():
                assert Path(file).is_relative_to(environments[name])
            _edit(project, tmp_path / name / "app.py")
            assert project.get(name, "/versions").json()[0] == "edited"
            _is_read_alone(project, name, tmp_path / name, environments[name])


def _answers_with(project: Project, name: str, versions: list[str]) -> None:
    assert project.get(name, "/versions").json() == versions


def _edit(project: Project, file: Path) -> None:
    since = len(project.entries)
    file.write_text(file.read_text().replace("return [fastapi.__version__", 'return ["edited"'))
    project.supervisor.post(Changed(frozenset({file})))
    project.line(file.parent.name, "live in", since)


def _is_read_alone(project: Project, name: str, root: Path, environment: Path) -> None:
    """Read with the service's own Python what it has pickled in mesh."""
    address = project.supervisor.directory.address(name, "http")
    answer: Any = project._session.post(f"http://{address}/items", json={"name": "x", "count": 2}, timeout=30)
    assert answer.json() == {"name": "x", "count": 2}
    read = (
        "import pickle; item, text = pickle.load(open('item.pickle', 'rb')); print(item, text, type(item).__module__)"
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(environment / "bin" / "python"), "-c", read]
    told = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True).stdout
    assert told == "name='x' count=2 &lt; app\n"
