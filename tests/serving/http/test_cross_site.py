"""Pages of other sites in the developer's browser can do nothing to services on loopback."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mesh import Address, Grpc, Http, Options, Service, Supervisor, Topology, proxy
from mesh.observing.journal import Line
from mesh.observing.span import Span
from mesh.pytest_plugin import Mesh
from mesh.serving.http.cross_site import is_loopback
from tests.support.programs import Shell

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "QUERY"]
EVIL = "http://evil.example"


async def answer(request: Request) -> Response:
    return PlainTextResponse(f"answered {request.method}")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


ROUTES = [Route("/", answer, methods=METHODS), WebSocketRoute("/socket", socket)]
PLAIN = Starlette(routes=ROUTES)
SHARED = Starlette(
    routes=ROUTES, middleware=[Middleware(CORSMiddleware, allow_origins=["https://shop.test"], allow_methods=["POST"])]
)
OPEN = Starlette(routes=ROUTES, middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"])])

wsgi = Flask(__name__)


@wsgi.route("/", methods=["GET", "POST"])
def wsgi_answer() -> str:
    return "answered"


@wsgi.after_request
def wsgi_allow(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "https://shop.test"
    return response


def send(address: Address, method: str = "POST", path: str = "/", **headers: str) -> tuple[int, str]:
    """Status and text of the answer to a request with these headers, sent to localhost unless they name a host."""
    with closing(http.client.HTTPConnection(address.host, address.port, timeout=30)) as connection:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"localhost:{address.port}", **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.fixture
def web(start: Callable[..., Mesh]) -> Callable[..., Mesh]:
    """`web(app, ...)` runs the app as the service `web`, declared with the further words."""

    def run(app: object = PLAIN, **declared: tuple[str, ...]) -> Mesh:
        return start(Service("web", http=Http(ports=(0,), app=app, **declared)))  # type: ignore[arg-type]

    return run


def lines(mesh: Mesh) -> list[str]:
    return [each.text for each in mesh.supervisor.journal.entries() if isinstance(each, Line)]


def upgrade(address: Address, **headers: str) -> int:
    key = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    return send(address, "GET", "/socket", **key, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", **headers)[0]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.0.1",
        "notlocalhost",
    ],
)
def test_a_name_of_somebody_elses_that_leads_here_is_refused_for_every_method(
    web: Callable[..., Mesh], host: str
) -> None:
    mesh = web()
    for method in METHODS:
        assert send(mesh.address("web.http"), method, Host=host)[0] == 403, method
    assert upgrade(mesh.address("web.http"), Host=host) == 403


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "shop.localhost", "127.0.0.1", "127.1.2.3:80", "[::1]:80", "localhost.", "0.0.0.0:1"],
)
def test_every_loopback_name_is_welcome(web: Callable[..., Mesh], host: str) -> None:
    assert send(web().address("web.http"), "GET", Host=host)[0] == 200


def test_its_own_name_its_aliases_and_declared_hosts_are_welcome(web: Callable[..., Mesh]) -> None:
    address = web(aliases=("site:8080",), hosts=("shop.test", ".dev.test")).address("web.http")
    good = ["web", "web:5001", "site:8080", "shop.test:5001", "SHOP.TEST", "dev.test", "a.b.dev.test"]
    assert {host: send(address, "GET", Host=host)[0] for host in good} == dict.fromkeys(good, 200)
    bad = ["a.shop.test", "notdev.test", "shop.test.evil.example"]
    assert {host: send(address, "GET", Host=host)[0] for host in bad} == dict.fromkeys(bad, 403)


def test_any_host_is_welcome_where_that_is_declared(web: Callable[..., Mesh]) -> None:
    assert send(web(hosts=("*",)).address("web.http"), "GET", Host="evil.example")[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        *(EVIL, "null", "https://192.168.0.1", "http://localhost.evil.example", "file://", "http://[", "http://[::1"),
        *("", "\xff", "chrome-extension://localhost"),
    ],
)
def test_a_foreign_page_changes_nothing_and_opens_no_websocket(web: Callable[..., Mesh], origin: str) -> None:
    mesh = web()
    address = mesh.address("web.http")
    statuses = {method: send(address, method, Origin=origin)[0] for method in METHODS}
    refused = dict.fromkeys(["POST", "PUT", "PATCH", "DELETE", "QUERY"], 403)
    assert statuses == {"GET": 200, "HEAD": 200, "OPTIONS": 200, **refused}
    assert upgrade(address, Origin=origin) == 403
    assert mesh.supervisor.snapshot["web"].state == "ready"


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:3000", "http://a.localhost"]
)
def test_a_page_of_this_machine_is_welcome(web: Callable[..., Mesh], origin: str) -> None:
    address = web().address("web.http")
    assert send(address, Origin=origin) == (200, "answered POST")
    assert upgrade(address, Origin=origin) == 101


def test_two_origins_are_both_looked_at(web: Callable[..., Mesh]) -> None:
    address = web().address("web.http")
    assert send(address, Origin="http://localhost", origin=EVIL)[0] == 403


def test_declared_origins_are_welcome_and_no_others(web: Callable[..., Mesh]) -> None:
    address = web(origins=("https://shop.test", "null")).address("web.http")
    for origin in ("https://shop.test", "null"):
        assert send(address, Origin=origin)[0] == 200
        assert upgrade(address, Origin=origin) == 101
    for origin in ("http://shop.test", "https://shop.test:444", "https://a.shop.test"):
        assert send(address, Origin=origin)[0] == 403
    assert send(web(origins=("*",)).address("web.http"), Origin=EVIL)[0] == 200


def test_the_pages_of_a_declared_host_are_its_own(web: Callable[..., Mesh]) -> None:
    address = web(hosts=("shop.test",)).address("web.http")
    assert send(address, Host="shop.test:80", Origin="http://shop.test:80")[0] == 200
    assert send(address, Host="shop.test:80", Origin="http://shop.test:81")[0] == 403


@pytest.mark.parametrize(
    ("app", "origin", "status"),
    [
        (SHARED, "https://shop.test", 200),
        (SHARED, EVIL, 403),
        (OPEN, EVIL, 200),
        (wsgi, "https://shop.test", 200),
        (wsgi, EVIL, 403),
    ],
)
def test_what_the_application_allows_by_cors_is_allowed(
    web: Callable[..., Mesh], app: object, origin: str, status: int
) -> None:
    assert send(web(app).address("web.http"), Origin=origin)[0] == status


def test_cors_opens_no_other_method_and_no_websocket(web: Callable[..., Mesh]) -> None:
    address = web(SHARED).address("web.http")
    assert send(address, "DELETE", Origin="https://shop.test")[0] == 403
    assert upgrade(address, Origin="https://shop.test") == 403


def test_a_refusal_says_how_to_allow_it_to_the_caller_and_once_in_the_log(web: Callable[..., Mesh]) -> None:
    mesh = web()
    for _ in range(3):
        by_host = send(mesh.address("web.http"), "GET", Host="shop.test:5001")
        by_origin = send(mesh.address("web.http"), Origin="https://shop.test")
    expected = [
        'refused GET with the Host "shop.test", which may be a page of another site; '
        'to allow it, write hosts = ["shop.test"] under services.web.http',
        'refused POST from the origin "https://shop.test", which may be a page of another site; '
        'to allow it, write origins = ["https://shop.test"] under services.web.http',
    ]
    assert lines(mesh) == expected
    assert [(status, json.loads(text)) for status, text in (by_host, by_origin)] == [
        (403, {"code": 7, "message": message, "details": []}) for message in expected
    ]
    spans = [each.status for each in mesh.supervisor.journal.entries() if isinstance(each, Span)]
    assert spans == ["403"] * 6


def test_a_thousand_foreign_names_are_a_bounded_number_of_lines(web: Callable[..., Mesh]) -> None:
    mesh = web()
    for n in range(100):
        assert send(mesh.address("web.http"), "GET", Host=f"{n}.example")[0] == 403
    assert len(lines(mesh)) == 64


def test_what_a_service_passes_on_for_an_allowed_page_is_allowed(start: Callable[..., Mesh]) -> None:
    """The proxy sends its caller's Origin along; the service behind it allows no page."""
    behind = Service("behind", http=Http(ports=(0,), app=PLAIN))
    before = Service("before", http=Http(ports=(0,), app=proxy("behind"), origins=("https://shop.test",)))
    mesh = start(behind, before)
    assert send(mesh.address("before.http"), Origin="https://shop.test") == (200, "answered POST")
    assert send(mesh.address("before.http"), Origin=EVIL)[0] == 403
    assert send(mesh.address("behind.http"), Origin="https://shop.test")[0] == 403


def test_contracts_served_as_rest_are_kept_from_foreign_pages_too(mesh: Mesh) -> None:
    for listener, path in (("gateway.http", "/api/grpc/users"), ("user-service.http", "/users")):
        assert send(mesh.address(listener), "POST", path, Origin=EVIL)[0] == 403
        assert send(mesh.address(listener), "GET", path, Host="evil.example")[0] == 403
    assert len(mesh.http("user-service").get("/users").json()) == 2


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Supervisor]:
    service = Service("web", http=Http(ports=(0,), app=PLAIN))
    supervisor = Supervisor(Topology("test", service, folder=tmp_path), Options(host="0.0.0.0"))
    supervisor.start()
    yield supervisor
    supervisor.stop()


def test_where_other_machines_are_let_in_neither_is_looked_at(wide: Supervisor) -> None:
    address = wide.directory.address("web", "http")
    assert send(address, Host="laptop.lan", Origin=EVIL) == (200, "answered POST")
    assert upgrade(address, Host="laptop.lan", Origin=EVIL) == 101


def test_a_service_in_a_process_of_its_own_is_guarded_alike(shell: Shell) -> None:
    mesh = shell.up("--free-ports", "--memory", "--only", "user-service.http", "--processes")
    url = mesh.ready()["services"][0]["http"][0]
    address = Address.parse(url.removeprefix("http://"))
    assert send(address, "GET", "/users", Host="evil.example")[0] == 403
    assert send(address, "POST", "/users", Origin=EVIL)[0] == 403
    assert send(address, "GET", "/users")[0] == 200
    assert mesh.end(signal.SIGTERM) == 143


def test_grpc_methods_are_out_of_a_pages_reach_and_stay_open(start: Callable[..., Mesh], servicer: object) -> None:
    grpc = Grpc(port=0, servicers=(servicer,), services=("user.UserService",), aliases=("users:50051",))
    mesh = start(Service("user-service", grpc=grpc))
    assert mesh.stub("user-service").GetUser(id=9).name == "well"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_listening_on_loopback_is_told_from_listening_more_widely(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
