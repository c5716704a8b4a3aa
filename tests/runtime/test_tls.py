"""Listeners that speak TLS, declared or as a service's own program opens them, and mesh's own calls to them."""

from __future__ import annotations

import socket
import ssl
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from msgspec.structs import replace
from websockets.sync.client import connect

from mesh import Http, Options, Service, Supervisor, Tls, Topology
from mesh.calling.reflected import Reflected
from mesh.errors import MeshError
from mesh.pytest_plugin import Mesh
from mesh.store.topology import store
from mesh.topology.declaration.mistakes import TopologyError
from mesh.topology.declaration.reading import read
from mesh.topology.selection import renumber, select
from tests.support.editing import PATIENCE, Edited, toml
from tests.support.ports import free_row

DECLARED = 'port = 0, tls = {{ certificate = "cert.pem", key = "key.pem"{more} }}'


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def issue(authority: trustme.CA, folder: Path, *names: str) -> None:
    """Write a certificate for these names, its key and that of its authority into the folder."""
    issued = authority.issue_cert(*names)
    (folder / "cert.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    (folder / "key.pem").write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))


def over_tls(topology: Topology, folder: Path, client_ca: Path | None = None) -> Topology:
    """Return the topology with a certificate for each of its listeners."""
    tls = Tls(folder / "cert.pem", folder / "key.pem", client_ca)
    services = [
        replace(
            each,
            http=replace(each.http, tls=tls) if each.http else None,
            grpc=replace(each.grpc, tls=tls) if each.grpc else None,
        )
        for each in topology
    ]
    return topology.with_services(services)


@contextmanager
def running(topology: Topology, *excluded: str, **options: Any) -> Iterator[Mesh]:
    supervisor = Supervisor(select(renumber(topology, None, free=True), excluded=excluded), Options(**options))
    supervisor.start()
    mesh = Mesh(supervisor)
    try:
        assert supervisor.failures() == []
        yield mesh
    finally:
        mesh.close()


@pytest.mark.parametrize("excluded", [(), ("user-service.grpc", "product-service.grpc")], ids=["grpc", "http"])
def test_services_call_each_other_over_tls(authority: trustme.CA, tmp_path: Path, excluded: tuple[str, ...]) -> None:
    """By either transport; the certificate is for a name that none of the addresses has."""
    issue(authority, tmp_path, "shop.test")
    with running(over_tls(store(tmp_path), tmp_path), *excluded) as mesh:
        gateway = mesh.http("gateway")
        order = gateway.post("/api/orders", json={"user_id": 1, "product_id": 2, "quantity": 1}, timeout=PATIENCE)
        assert order.status_code == 201, order.text
        assert gateway.get("/api/users/1", timeout=PATIENCE).json()["name"] == "Ada Lovelace"
        assert mesh.http("user-service").get("/users/1", timeout=PATIENCE).json()["name"] == "Ada Lovelace"
        if not excluded:
            answer = gateway.get("/api/grpc/users/1", timeout=PATIENCE)
            assert answer.json()["name"] == "Ada Lovelace"
            assert mesh.stub("user-service").GetUser(id=1).name == "Ada Lovelace"
        states = {each.name: each.tls for each in mesh.supervisor.snapshot.services}
        assert states["gateway"] == {"http"}
        assert states["user-service"] == ({"http"} if excluded else {"http", "grpc"})


def test_clients_verify_the_certificate_of_each_listener(authority: trustme.CA, tmp_path: Path) -> None:
    issue(authority, tmp_path, "localhost")
    with running(over_tls(store(tmp_path), tmp_path), "gateway", "order-service") as mesh:
        http, port = (mesh.address(f"user-service.{kind}").port for kind in ("http", "grpc"))
        answer = requests.get(f"https://localhost:{http}/users/1", verify=str(tmp_path / "ca.pem"), timeout=PATIENCE)
        assert (answer.status_code, answer.json()["id"]) == (200, 1)
        with pytest.raises(requests.exceptions.SSLError, match="certificate verify failed"):
            requests.get(f"https://localhost:{http}/users/1", timeout=PATIENCE)
        credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        assert health_of(grpc.secure_channel(f"localhost:{port}", credentials)) == 1
        with pytest.raises(grpc.RpcError) as caught:
            health_of(grpc.insecure_channel(f"localhost:{port}"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def health_of(channel: grpc.Channel) -> int:
    with channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int(stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status)


def test_clients_need_a_certificate_where_one_is_asked_for(authority: trustme.CA, tmp_path: Path) -> None:
    issue(authority, tmp_path, "localhost")
    client = authority.issue_cert("someone")
    pair = client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    (tmp_path / "client.pem").write_bytes(b"".join(pair))
    topology = over_tls(store(tmp_path), tmp_path, client_ca=tmp_path / "ca.pem")
    with running(topology, "gateway", "product-service", "order-service") as mesh:
        http, port = (mesh.address(f"user-service.{kind}").port for kind in ("http", "grpc"))
        url, ca = f"https://localhost:{http}/users/1", str(tmp_path / "ca.pem")
        known_to_it = requests.get(url, cert=str(tmp_path / "client.pem"), verify=ca, timeout=PATIENCE)
        assert known_to_it.status_code == 200
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(url, verify=ca, timeout=PATIENCE)
        known = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), *pair)
        assert health_of(grpc.secure_channel(f"localhost:{port}", known)) == 1
        with pytest.raises(grpc.RpcError) as caught:
            health_of(
                grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(authority.cert_pem.bytes()))
            )
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


SAYS = """
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": f"{scope['scheme']} SAYS".encode()})
"""
FLASK = """
    import flask

    app = flask.Flask("app")

    @app.get("/")
    def say():
        return f"{flask.request.scheme} SAYS"

    if __name__ == "__main__":
        app.run(port=PORT, ssl_context=CONTEXT)
"""
CONTEXT = "__import__('ssl').create_default_context(__import__('ssl').Purpose.CLIENT_AUTH)"
AIOHTTP = f"""
    from aiohttp import web

    async def say(request):
        return web.Response(text=f"{{request.scheme}} SAYS")

    app = web.Application()
    app.add_routes([web.get("/", say)])
    context = {CONTEXT}
    context.load_cert_chain("cert.pem", "key.pem")
    web.run_app(app, port=PORT, ssl_context=context)
"""
UVICORN = SAYS + "\n    __import__('uvicorn').run(app, port=PORT, ssl_certfile='cert.pem', ssl_keyfile='key.pem')"

HTTPS = {
    "uvicorn.run": (UVICORN, "server.py"),
    "uvicorn": (SAYS, "uvicorn server:app --port PORT --ssl-certfile cert.pem --ssl-keyfile key.pem"),
    "hypercorn": (SAYS, "hypercorn server:app -b localhost:PORT --certfile cert.pem --keyfile key.pem"),
    "gunicorn": (FLASK, "gunicorn -b 127.0.0.1:PORT --certfile cert.pem --keyfile key.pem server:app"),
    "flask with files": (FLASK.replace("CONTEXT", "('cert.pem', 'key.pem')"), "server.py"),
    "flask run": (FLASK, "flask --app server run --port PORT --cert cert.pem --key key.pem"),
    "aiohttp": (AIOHTTP, "server.py"),
}


@pytest.mark.parametrize("name", HTTPS)
def test_a_program_serves_https_with_its_own_certificate_and_is_edited(
    name: str, authority: trustme.CA, tmp_path: Path
) -> None:
    code, command = HTTPS[name]
    port = free_row(1)
    code, command = code.replace("PORT", str(port)), command.replace("PORT", str(port))
    issue(authority, tmp_path, "localhost")
    files = {"server.py": code.replace("SAYS", "one"), "mesh.toml": toml(talk=f'run = "{command}"\nhttp = {port}')}
    with Edited(tmp_path, files) as edited, requests.Session() as session:
        session.trust_env, session.verify = False, str(tmp_path / "ca.pem")
        assert edited.supervisor.failures() == []
        assert edited.supervisor.snapshot["talk"].urls == [f"https://127.0.0.1:{port}"]
        assert session.get(f"https://localhost:{port}/", timeout=PATIENCE).text == "https one"
        edited.reload("talk", {"server.py": code.replace("SAYS", "two")})
        assert session.get(f"https://localhost:{port}/", timeout=PATIENCE).text == "https two"
        assert edited.get("talk") == "https two"


def test_a_certificate_made_by_flask_is_kept_when_the_program_is_edited(tmp_path: Path) -> None:
    port = free_row(1)
    code = FLASK.replace("PORT", str(port)).replace("CONTEXT", "'adhoc'")
    files = {"server.py": code.replace("SAYS", "one"), "mesh.toml": toml(talk=f'run = "server.py"\nhttp = {port}')}
    with Edited(tmp_path, files) as edited:
        assert edited.supervisor.failures() == []
        shown = ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE)
        edited.reload("talk", {"server.py": code.replace("SAYS", "two")})
        assert edited.get("talk") == "https two"
        assert ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE) == shown


GRPC = """
    import pathlib
    from concurrent import futures
    import grpc

    def say(request, context):
        return f"SAYS {context.auth_context()['transport_security_type'][0].decode()}".encode()

    methods = {"Say": grpc.unary_unary_rpc_method_handler(say)}
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("talk.Talk", methods),))
    pair = pathlib.Path("key.pem").read_bytes(), pathlib.Path("cert.pem").read_bytes()
    server.add_secure_port("[::]:PORT", grpc.ssl_server_credentials([pair]))
    server.start()
    server.wait_for_termination()
"""
GRPC_AIO = """
    import asyncio
    import pathlib
    import grpc

    async def say(request, context):
        return f"SAYS {context.auth_context()['transport_security_type'][0].decode()}".encode()

    async def main():
        methods = {"Say": grpc.unary_unary_rpc_method_handler(say)}
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("talk.Talk", methods),))
        pair = pathlib.Path("key.pem").read_bytes(), pathlib.Path("cert.pem").read_bytes()
        server.add_secure_port("[::]:PORT", grpc.ssl_server_credentials([pair]))
        await server.start()
        await server.wait_for_termination()

    asyncio.run(main())
"""


@pytest.mark.parametrize("code", [GRPC, GRPC_AIO], ids=["sync", "aio"])
def test_a_program_opens_a_secure_port_and_keeps_its_connections_when_it_is_edited(
    code: str, authority: trustme.CA, tmp_path: Path
) -> None:
    port = free_row(1)
    code = code.replace("PORT", str(port))
    issue(authority, tmp_path, "localhost")
    files = {"server.py": code.replace("SAYS", "one"), "mesh.toml": toml(talk=f'run = "server.py"\ngrpc = {port}')}
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with Edited(tmp_path, files) as edited, grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        say: Any = channel.unary_unary("/talk.Talk/Say")
        assert edited.supervisor.failures() == []
        assert edited.supervisor.snapshot["talk"].places == [f"grpcs 127.0.0.1:{port}"]
        assert say(b"", timeout=PATIENCE) == b"one ssl"
        edited.reload("talk", {"server.py": code.replace("SAYS", "two")})
        assert say(b"", timeout=PATIENCE) == b"two ssl"
        assert "connections were cut" not in "".join(edited.lines("talk"))
        issue(authority, tmp_path, "localhost", "another")
        edited.reload("talk", {"server.py": code.replace("SAYS", "three")})
        assert "connections were cut" in "".join(edited.lines("talk"))
        assert say(b"", wait_for_ready=True, timeout=PATIENCE) == b"three ssl"
        assert names_at(port, authority) == {"localhost", "another"}


ASKS = """
    import asyncio, pathlib
    import grpc, requests

    CA = pathlib.Path("ca.pem")

    def ask():
        credentials = grpc.ssl_channel_credentials(CA.read_bytes())
        with grpc.secure_channel("localhost:50051", credentials) as channel:
            answer = channel.unary_unary("/user.UserService/GetUser")(b"\\x08\\x01", timeout=30)
        session = requests.Session()
        session.trust_env, session.verify = False, "ca.pem"
        found = session.get("https://localhost:5001/users/1", timeout=30)
        return b"Ada" in answer, found.json()["name"]

    async def app(scope, receive, send):
        if scope["type"] == "http":
            body = str(await asyncio.to_thread(ask)).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
"""


def test_code_verifies_the_name_that_it_calls_wherever_the_listener_is(authority: trustme.CA, tmp_path: Path) -> None:
    """The ports of both are moved, and the certificate holds for `localhost` alone."""
    issue(authority, tmp_path, "localhost")
    (tmp_path / "asks.py").write_text(textwrap.dedent(ASKS))
    asks = Service("asks", http=Http(ports=(0,), app="asks:app"), root=tmp_path)
    user = over_tls(store(tmp_path), tmp_path)["user-service"]
    with running(store(tmp_path).with_services([user, asks])) as mesh:
        assert mesh.http("asks").get("/", timeout=PATIENCE).text == "(True, 'Ada Lovelace')"


def names_at(port: int, authority: trustme.CA) -> set[str]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
    with context.wrap_socket(plain, server_hostname="localhost") as encrypted:
        certificate: Any = encrypted.getpeercert()
    return {name for _, name in certificate["subjectAltName"]}


SLOW = """
    from tests.support.supervised import gate

    WORD = "one"

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": WORD.encode(), "more_body": True})
        if scope["path"] == "/slow":
            import asyncio
            while not gate("renewed").is_set():
                await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b" end"})
"""


def test_a_renewed_certificate_is_shown_from_the_next_load_on(authority: trustme.CA, tmp_path: Path) -> None:
    """A request in flight ends as it began."""
    from tests.support.supervised import gate

    issue(authority, tmp_path, "localhost")
    http = DECLARED.format(more="")
    files = {"app.py": SLOW, "mesh.toml": toml(talk=f'http = {{ app = "app:app", {http} }}')}
    with Edited(tmp_path, files) as edited, requests.Session() as session:
        session.trust_env, session.verify = False, str(tmp_path / "ca.pem")
        port = edited.mesh.address("talk.http").port
        with session.get(f"https://localhost:{port}/slow", stream=True, timeout=PATIENCE) as answer:
            parts = answer.iter_content(None)
            assert next(parts) == b"one"
            assert names_at(port, authority) == {"localhost"}
            issue(authority, tmp_path, "localhost", "another")
            edited.reload("talk", {"app.py": SLOW.replace('"one"', '"two"')})
            assert names_at(port, authority) == {"localhost", "another"}
            assert session.get(f"https://localhost:{port}/", timeout=PATIENCE).text == "two end"
            gate("renewed").set()
            assert next(parts) == b" end"


def test_a_call_by_name_finds_out_that_the_listener_speaks_tls(authority: trustme.CA, tmp_path: Path) -> None:
    issue(authority, tmp_path, "shop.test")
    with (
        running(over_tls(store(tmp_path), tmp_path), "gateway", "order-service") as mesh,
        Reflected(mesh.address("user-service.grpc")) as reflected,
    ):
        (answer,) = reflected.call("GetUser", b'{"id": 1}', PATIENCE)
    assert answer == {"id": 1, "name": "Ada Lovelace", "email": "ada@example.com"}


ECHO = """
    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            message = await receive()
            await send({"type": "websocket.send", "text": f"{scope['scheme']} {message['text']}"})
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["scheme"].encode()})
"""


def test_websockets_and_the_path_of_ready_are_encrypted_too(authority: trustme.CA, tmp_path: Path) -> None:
    issue(authority, tmp_path, "localhost")
    table = f'http = {{ app = "app:app", {DECLARED.format(more="")} }}\nready = "/health"'
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with Edited(tmp_path, {"app.py": ECHO, "mesh.toml": toml(talk=table)}) as edited:
        assert edited.supervisor.failures() == []
        port = edited.mesh.address("talk.http").port
        with connect(f"wss://localhost:{port}/", ssl=context, open_timeout=PATIENCE, proxy=None) as socket_:
            socket_.send("hello")
            assert socket_.recv(PATIENCE) == "wss hello"


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ('{ certificate = "cert.pem" }', "services.talk.http.tls: expected key, the path of a PEM file"),
        ("{ }", "services.talk.http.tls: expected certificate and key, the path of a PEM file"),
        ('{ certificate = "no.pem", key = "key.pem" }', "services.talk.http.tls.certificate: no such file: "),
        ('{ certificate = "cert.pem", key = "key.pem", ca = "a" }', "services.talk.http.tls.ca: unknown key; "),
        ('"cert.pem"', "services.talk.http.tls: expected a table of certificate, key, client_ca, not "),
    ],
)
def test_mistakes_are_named(tls: str, said: str, authority: trustme.CA, tmp_path: Path) -> None:
    issue(authority, tmp_path, "localhost")
    file = tmp_path / "mesh.toml"
    text = toml(talk=f'http = {{ port = 0, app = "app:app", tls = {tls} }}')
    with pytest.raises(TopologyError) as caught:
        read(text, file, Path("mesh.toml"))
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_unusable_files_are_named_when_the_service_starts(kind: str, authority: trustme.CA, tmp_path: Path) -> None:
    issue(authority, tmp_path, "localhost")
    (tmp_path / "key.pem").write_text("no key")
    with running_one(tmp_path, kind) as supervisor:
        reason = supervisor.snapshot["user-service"].reason or ""
    files = f"{tmp_path / 'cert.pem'} and {tmp_path / 'key.pem'}"
    assert reason.startswith(f"{files} are not a certificate and its unencrypted key, in PEM: ")


def test_an_expired_certificate_is_named_by_a_call(authority: trustme.CA, tmp_path: Path) -> None:
    past = datetime(2020, 6, 13, tzinfo=UTC)
    issued = authority.issue_cert("localhost", not_before=past - timedelta(days=365), not_after=past)
    issue(authority, tmp_path, "localhost")
    (tmp_path / "cert.pem").write_bytes(issued.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(issued.private_key_pem.bytes())
    with running_one(tmp_path, "grpc") as supervisor:
        assert supervisor.snapshot["user-service"].tls == {"grpc"}
        address = supervisor.directory.address("user-service", "grpc")
        with pytest.raises(MeshError) as caught:
            Reflected(address)
    assert str(caught.value) == f"the certificate of {address} is not valid: certificate has expired"


@contextmanager
def running_one(folder: Path, kind: str) -> Iterator[Supervisor]:
    """Run the user service, one of its listeners over TLS."""
    user = store(folder)["user-service"]
    tls = Tls(folder / "cert.pem", folder / "key.pem")
    changed = replace(user, **{kind: replace(getattr(user, kind), tls=tls)})
    supervisor = Supervisor(select(renumber(store(folder).with_services([changed]), None, free=True)), Options())
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
