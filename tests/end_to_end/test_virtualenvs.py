"""Services whose packages conflict, each with a virtual environment filled from the package index, in one process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mesh.calling.reflected import Reflected
from mesh.runtime.messages import Changed
from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, Project, supervised
from tests.support.virtualenvs import install, make_virtualenv

#: A web framework, below it an extension in Rust, one in C, and gRPC with its messages.
WHEELS = {
    "old": ("fastapi==0.104.1", "pydantic==2.8.2", "markupsafe==3.0.1", "grpcio==1.67.1", "protobuf==5.28.3"),
    "new": ("fastapi==0.165.0", "pydantic==2.14.4", "markupsafe==3.0.3", "grpcio==1.82.3", "protobuf==6.33.6"),
}
PROTO = """
    syntax = "proto3";
    package versions;
    message Found { repeated string versions = 1; }
    service Told { rpc Versions(Found) returns (Found); }
"""
APP = """
    import pickle
    from importlib.metadata import version
    import fastapi, google.protobuf, grpc, markupsafe, pydantic, versions_pb2, versions_pb2_grpc
    from google._upb import _message
    from grpc._cython import cygrpc
    from markupsafe import _speedups
    from pydantic_core import _pydantic_core

    app = fastapi.FastAPI()

    class Item(pydantic.BaseModel):
        name: str
        count: int = 1

    @app.get("/versions")
    def versions() -> list[str]:
        import fastapi, pydantic
        found = [fastapi.__version__, pydantic.VERSION, version("markupsafe"), grpc.__version__]
        return [*found, google.protobuf.__version__]

    class Told(versions_pb2_grpc.ToldServicer):
        def Versions(self, request, context):
            return versions_pb2.Found(versions=versions())

    @app.get("/files")
    def files() -> list[str]:
        return [each.__file__ for each in (_speedups, _pydantic_core, fastapi, cygrpc, _message)]

    @app.get("/stub")
    def stub() -> str:
        return versions_pb2.__file__

    @app.post("/items")
    async def add(item: Item) -> Item:
        with open("item.pickle", "wb") as file:
            pickle.dump((item, markupsafe.escape("<"), versions_pb2.Found(versions=["1"])), file)
        return item
"""


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("environments")
    for name, wheels in WHEELS.items():
        make_virtualenv(folder / name)
        install(folder / name, *wheels)
    return {name: folder / name for name in WHEELS}


def test_two_versions_of_a_framework_of_extensions_in_c_and_rust_and_of_grpc(
    tmp_path: Path, environments: dict[str, Path]
) -> None:
    table = "".join(
        f'[services.{name}]\nroot = "{name}"\npython = "{environments[name]}"\nhttp = {{ port = 0, app = "app:app" }}\n'
        'grpc = { port = 0, servicers = ["app:Told"] }\n'
        for name in WHEELS
    )
    apps = {f"{name}/app.py": APP for name in WHEELS}
    files = {"mesh.toml": f'[mesh]\nprotos = ["protos"]\n{table}', "protos/versions.proto": PROTO, **apps}
    with supervised(tmp_path, files, Options(start_within=PATIENCE)) as project:
        for name, wheels in WHEELS.items():
            _answers_with(project, name, [each.partition("==")[2] for each in wheels])
            for file in project.get(name, "/files").json():
                assert Path(file).is_relative_to(environments[name])
            _edit(project, tmp_path / name / "app.py")
            _answers_with(project, name, ["edited"])
            _is_read_alone(project, name, tmp_path / name, environments[name])


def _answers_with(project: Project, name: str, versions: list[str]) -> None:
    """Over HTTP and gRPC."""
    assert project.get(name, "/versions").json() == versions
    with Reflected(project.supervisor.directory.address(name, "grpc")) as reflected:
        assert list(reflected.call("Versions", b"{}", PATIENCE)) == [{"versions": versions}]


def _edit(project: Project, file: Path) -> None:
    since = len(project.entries)
    file.write_text(file.read_text().replace("return [*found, google.protobuf.__version__]", 'return ["edited"]'))
    project.supervisor.post(Changed(frozenset({file})))
    project.line(file.parent.name, "live in", since)


def _is_read_alone(project: Project, name: str, root: Path, environment: Path) -> None:
    """Read with the service's own Python what it has pickled in mesh."""
    address = project.supervisor.directory.address(name, "http")
    answer: Any = project._session.post(f"http://{address}/items", json={"name": "x", "count": 2}, timeout=30)
    assert answer.json() == {"name": "x", "count": 2}
    # The stubs are those that its own protoc would make, for its own versions.
    (root / "versions_pb2_grpc.py").write_text("class ToldServicer: ...")
    (root / "versions_pb2.py").write_text(Path(project.get(name, "/stub").json()).read_text())
    read = (
        "import pickle; item, text, told = pickle.load(open('item.pickle', 'rb')); "
        "print(item, text, type(item).__module__, told.versions)"
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(environment / "bin" / "python"), "-c", read]
    told = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True).stdout
    assert told == "name='x' count=2 &lt; app ['1']\n"
