"""`root_path` under `http`: the application knows where a proxy publishes it, as with `uvicorn --root-path`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.observing.span import Span
from mesh.topology.declaration.mistakes import TopologyError
from mesh.topology.loading import read_file
from tests.support.supervised import supervised

TOML = """\
[services.web]
http = { port = 0, app = "app:app", root_path = "/shop api" }
"""
STARLETTE = """\
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def item(request):
    own = request.url_for("item", number=7).path
    return JSONResponse([request.scope["root_path"], request.scope["raw_path"].decode(), own])


app = Starlette(routes=[Route("/items/{number}", item, name="item")])
"""
WSGI = """\
import json


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()]
"""


def test_an_application_knows_its_root_path(tmp_path: Path) -> None:
    with supervised(tmp_path, {"mesh.toml": TOML, "app.py": STARLETTE}) as project:
        assert project.get("web", "/items/3").json() == ["/shop api", "/shop%20api/items/3", "/shop api/items/7"]
        assert project.get("web", "/none").status_code == 404
    span = next(each for each in project.entries if isinstance(each, Span))
    assert (span.target, span.route) == ("/items/3", "/items/{number}")


def test_a_wsgi_application_has_it_as_its_script_name(tmp_path: Path) -> None:
    with supervised(tmp_path, {"mesh.toml": TOML, "app.py": WSGI}) as project:
        assert project.get("web", "/items/3").json() == ["/shop api", "/items/3"]


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ('http = { port = 0, root_path = "/a" }\ncommand = "x"', "services.web.http.root_path: expected app or run"),
        ('http = { port = 0, app = "app:app", root_path = "a/" }', "services.web.http.root_path: expected a path such"),
    ],
)
def test_where_it_means_nothing_it_is_a_mistake(tmp_path: Path, declared: str, problem: str) -> None:
    (tmp_path / "mesh.toml").write_text(f"[services.web]\n{declared}\n")
    with pytest.raises(TopologyError, match=problem):
        read_file(tmp_path / "mesh.toml", tmp_path)
