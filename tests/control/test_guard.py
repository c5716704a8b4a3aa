"""Access to the control API of a mesh."""

from __future__ import annotations

import http.client
import json
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mesh import Http, Service, Supervisor, Topology
from mesh.control.page import page_of
from mesh.control.server import ControlServer
from mesh.runtime.messages import ServiceState, Snapshot
from tests.support.programs import Shell

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
PATHS = ["/api/state", "/api/stop", "/api/services/one/stop", "/", "/nowhere"]


async def app(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlServer]:
    folder = tmp_path_factory.mktemp("project")
    supervisor = Supervisor(Topology("test", Service("one", http=Http((0,), app=app)), folder=folder))
    supervisor.start()
    server = ControlServer(supervisor)
    server.start()
    yield server
    server.close()
    supervisor.stop()


class Asked:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.text = response.status, response.headers, response.read().decode()


def ask(control: ControlServer, method: str, path: str, **headers: str | None) -> Asked:
    """Return a request with the right token, Host and type unless other ones are given; None leaves a header out."""
    address = control.running.url.removeprefix("http://")
    given = {"Host": address, "Authorization": f"Bearer {control.running.token}", **headers}
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        return Asked(connection.getresponse())


def is_running(control: ControlServer) -> bool:
    state = json.loads(ask(control, "GET", "/api/state").text)
    return bool((state["phase"], state["services"][0]["state"]) == ("running", "ready"))


@pytest.mark.parametrize(
    "token",
    [
        *(None, "Bearer wrong", "Basic x", "", "Bearer ", "Bearer \xe9"),
        *("{}", "bearer {}", "BEARER {}", "Bearer  {}", "Bearer\t{}", "Bearer{}", "Bearer Bearer {}", "Bearer {},"),
    ],
)
def test_without_the_token_every_route_and_method_is_refused_and_tells_nothing(
    control: ControlServer, token: str | None
) -> None:
    for method in METHODS:
        for path in PATHS:
            asked = ask(control, method, path, Authorization=token and token.format(control.running.token))
            assert asked.status == 401, (method, path)
            assert "test" not in asked.text
            assert control.running.token not in asked.text
    assert is_running(control)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.com", 403),
        ("evil.com:80", 403),
        ("127.0.0.1", 403),
        ("127.0.0.1:1", 403),
        (None, 400),
        ("[", 400),
    ],
)
def test_a_host_that_is_not_this_one_is_refused(control: ControlServer, host: str | None, status: int) -> None:
    """A name of somebody else's that resolves to this machine would let any page in."""
    for method in METHODS:
        assert ask(control, method, "/api/stop", Host=host).status == status, method
    assert is_running(control)


def test_two_hosts_are_refused(control: ControlServer) -> None:
    address = control.running.url.removeprefix("http://")
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as connection:
        connection.sendall(f"GET /api/state HTTP/1.1\r\nHost: {address}\r\nHost: evil.com\r\n\r\n".encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 400 ")
    assert is_running(control)


@pytest.mark.parametrize("name", ["Authorization", "Origin", "Content-Type"])
def test_a_header_that_decides_and_is_sent_twice_is_refused(control: ControlServer, name: str) -> None:
    """Refuse two headers also if they are equal: which of the two counts is never a question."""
    good = {"Authorization": f"Bearer {control.running.token}", "Origin": control.running.url}
    value = good.get(name, "application/json")
    for method in METHODS:
        for first, second in ((value, value), (value, "x"), ("x", value)):
            # Two names for http.client, one for the server.
            asked = ask(control, method, "/api/stop", **{name: first, name.lower(): second})
            assert asked.status == 400, method
            if method != "HEAD":
                assert json.loads(asked.text)["message"] == f"the header {name.lower()} is sent more than once"
    assert is_running(control)


def test_no_response_may_be_sniffed_framed_embedded_or_kept(control: ControlServer) -> None:
    refused: list[dict[str, str | None]] = [
        {"Authorization": None},
        {"Host": "evil.com"},
        {"Origin": "null"},
        {"Content_Type": "text/plain"},
    ]
    for method in ("GET", "POST"):
        for path in ("/api/state", "/nowhere", "/api/services/none/stop"):
            for headers in ({}, *refused):
                asked = ask(control, method, path, **headers)
                assert asked.headers["x-content-type-options"] == "nosniff"
                assert asked.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
                assert asked.headers["cross-origin-resource-policy"] == "same-origin"
                assert asked.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "origin", ["http://evil.com", "null", "http://127.0.0.1", "http://localhost:1", "https://{}", ""]
)
def test_a_foreign_origin_is_refused_for_every_method(control: ControlServer, origin: str) -> None:
    address = control.running.url.removeprefix("http://")
    for method in METHODS:
        for path in PATHS:
            assert ask(control, method, path, Origin=origin.format(address)).status == 403, (method, path)
    assert is_running(control)


def test_its_own_origin_and_localhost_are_welcome(control: ControlServer) -> None:
    own = control.running.url
    localhost = own.replace("127.0.0.1", "localhost")
    for origin in (own, localhost):
        assert ask(control, "GET", "/api/state", Origin=origin, Host=origin.removeprefix("http://")).status == 200


def test_no_answer_lets_another_origin_read_it_and_no_preflight_succeeds(control: ControlServer) -> None:
    for origin in ("http://evil.com", control.running.url):
        for method in METHODS:
            asked = ask(control, method, "/api/state", Origin=origin, Access_Control_Request_Method="POST")
            assert not [name for name in asked.headers if name.lower().startswith("access-control-")]
            assert method != "OPTIONS" or asked.status >= 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_what_a_page_may_send_without_asking_is_refused(control: ControlServer, kind: str) -> None:
    assert ask(control, "POST", "/api/stop", Content_Type=kind).status == 415
    assert is_running(control)


def test_a_websocket_is_refused_before_the_upgrade(control: ControlServer) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    for wrong in ({"Authorization": None}, {"Origin": "http://evil.com"}):
        headers = {**upgrade, "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", **wrong}
        assert ask(control, "GET", "/api/state", **headers).status == 403
    assert is_running(control)


def test_each_token_is_of_256_bits_and_another_one(control: ControlServer, tmp_path: Path) -> None:
    supervisor = Supervisor(Topology("other", Service("one", http=Http((0,), app=app)), folder=tmp_path))
    with closing(ControlServer(supervisor)) as other:
        tokens = {control.running.token, other.running.token}
    assert len(tokens) == 2
    assert all(len(token) >= 43 for token in tokens)


def test_only_its_user_can_read_the_token_and_no_output_shows_it(shell: Shell) -> None:
    mesh = shell.up("--free-ports", "--memory", "--only", "user-service", "--host", "0.0.0.0")
    mesh.ready()
    (note,) = (shell.folder / ".mesh" / "run").glob("*.json")
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert stat.S_IMODE(note.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(note.parent.parent.stat().st_mode) == 0o700
    token = json.loads(note.read_text())["token"]
    port = int(mesh.ready()["url"].rpartition(":")[2])
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", "/api/state")
        assert connection.getresponse().status == 401  # the checks stay on where services listen on every address
    ps = shell.run("ps", "--json")
    assert shell.run("down").process.returncode == 0
    mesh.end()
    assert token not in mesh.text() + ps.text()


def test_the_link_of_the_banner_shows_what_runs_and_nothing_can_be_done_with_it(control: ControlServer) -> None:
    link = control.link.removeprefix(control.running.url)
    page = ask(control, "GET", link, Authorization=None)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<h1>mesh: test</h1>" in page.text
    assert re.search(r'<td>one</td><td>ready</td><td><a href="http://127.0.0.1:\d+/"', page.text)
    assert page.headers["referrer-policy"] == "no-referrer"
    assert control.running.token not in link + page.text
    token = link.partition("=")[2]
    for method, path in (("GET", "/api/state"), ("POST", "/api/stop"), ("POST", "/"), ("GET", "/?token=x")):
        query = "" if "?" in path else f"?token={token}"
        assert ask(control, method, f"{path}{query}", Authorization=None).status == 401
        assert ask(control, method, path, Authorization=f"Bearer {token}").status == 401
    assert ask(control, "GET", link, Authorization=None, Host="evil.com").status == 403
    assert is_running(control)


def test_names_and_reasons_on_the_page_are_text() -> None:
    state = ServiceState("a", "failed", reason="<script>alert(1)</script>")
    page = page_of(Snapshot("<b>", "running", (state,)))
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "<b>" not in page


def test_a_browser_without_the_token_is_told_how_to_look_and_nothing_else(control: ControlServer) -> None:
    accepts = "text/html,application/xhtml+xml,*/*;q=0.8"
    page = ask(control, "GET", "/", Authorization=None, Accept=accepts)
    assert (page.status, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "<pre>mesh ps  " in page.text
    assert "127.0.0.1" not in page.text
    for path, accept in (("/", "*/*"), ("/api/state", accepts)):
        refused = ask(control, "GET", path, Authorization=None, Accept=accept)
        assert (refused.status, refused.headers["content-type"]) == (401, "application/json")
