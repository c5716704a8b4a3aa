"""`/openapi.json` of a listener describes all that it answers, its own application and what it mounts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh import Supervisor
from mesh.store.topology import store
from mesh.topology.selection import renumber
from tests.support.supervised import Project, supervised

PROTO = """
    syntax = "proto3";
    package {name};
    import "google/api/annotations.proto";
    service {title} {{
      rpc Get(Item) returns (Item) {{
        option (google.api.http) = {{get: "/{name}/{{id}}"}};
      }}
    }}
    message Item {{
      {type} id = 1;
    }}
"""
CODE = """
    from {name}_pb2_grpc import {title}Servicer


    class Servicer({title}Servicer):
        def Get(self, request, context):
            return request
"""
SPOKEN = """
    from fastapi import FastAPI

    app = FastAPI(title="spoken")


    @app.get("/spoken")
    def spoken() -> str:
        return "here"
"""
SILENT = """
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})
"""
FILES = {
    "mesh.toml": """
        [services.one]
        http = {port = 0, contract = "two"}
        grpc = {port = 0, servicers = ["one:Servicer"]}
        protos = ["one"]

        [services.two]
        http = {port = 0}
        grpc = {port = 0, servicers = ["two:Servicer"], services = ["two.Two"]}
        protos = ["two"]

        [services.spoken]
        http = {port = 0, app = "spoken:app", contract = "two"}

        [services.silent]
        http = {port = 0, app = "silent:app", contract = "two"}
    """,
    **{
        f"{name}/{name}.proto": PROTO.format(name=name, title=name.title(), type=type_)
        for name, type_ in (("one", "int32"), ("two", "string"))
    },
    **{f"{name}.py": CODE.format(name=name, title=name.title()) for name in ("one", "two")},
    "spoken.py": SPOKEN,
    "silent.py": SILENT,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with supervised(tmp_path_factory.mktemp("project"), FILES) as running:
        yield running


def described(project: Project, service: str) -> dict[str, Any]:
    answered = project.get(service, "/openapi.json")
    assert (answered.status_code, answered.headers["content-type"]) == (200, "application/json")
    document: dict[str, Any] = answered.json()
    return document


@pytest.mark.parametrize(
    ("service", "paths"),
    [
        ("one", ["/one/{id}", "/two/{id}"]),
        ("two", ["/two/{id}"]),
        ("spoken", ["/spoken", "/two/{id}"]),
        ("silent", ["/two/{id}"]),
    ],
)
def test_a_listener_that_mounts_without_a_prefix_describes_both(
    project: Project, service: str, paths: list[str]
) -> None:
    document = described(project, service)
    assert list(document["paths"]) == paths
    for path in paths:
        assert project.get(service, path.replace("{id}", "5")).status_code == 200


def test_the_page_is_there_unless_the_application_has_its_own(project: Project) -> None:
    assert "Read from" in project.get("silent", "/docs").text
    assert "swagger" in project.get("spoken", "/docs").text


def test_all_that_the_store_answers_is_described(tmp_path: Path) -> None:
    supervisor = Supervisor(renumber(store(tmp_path), None, free=True))
    supervisor.start()
    try:
        url = f"http://{supervisor.directory.address('gateway', 'http')}"
        document = requests.get(f"{url}/openapi.json", timeout=10).json()
        reads = [path for path, item in document["paths"].items() if "get" in item and ":watch" not in path]
        assert sorted(reads) == [
            "/",
            "/api/grpc/products",
            "/api/grpc/products/{id}",
            "/api/grpc/users",
            "/api/grpc/users/{id}",
            "/api/orders",
            "/api/orders/{id}",
            "/api/products",
            "/api/products/{id}",
            "/api/users",
            "/api/users/{id}",
            "/health",
        ]
        answered = {path: requests.get(url + path.replace("{id}", "1"), timeout=10).status_code for path in reads}
        assert [path for path, status in answered.items() if status != 200] == ["/api/orders/{id}"]
        operations = [operation for item in document["paths"].values() for operation in item.values()]
        ids = [operation["operationId"] for operation in operations]
        assert len(set(ids)) == len(ids) == 21
    finally:
        supervisor.stop()
