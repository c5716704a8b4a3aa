"""Ports that a program opens and mesh.toml does not declare: learned as it runs, served, shown and kept."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import psutil
import requests

from tests.support.editing import PATIENCE, Edited, is_kept, toml
from tests.support.ports import free_row

SERVER = """
    import time
    from concurrent import futures
    import flask, grpc

    def say(request, context):
        return b"SAYS"

    app = flask.Flask("app")
    app.add_url_rule("/", view_func=lambda: "SAYS")
    time.sleep(0.05)  # it counts as a worker now
    methods = {"Say": grpc.unary_unary_rpc_method_handler(say)}
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("talk.Talk", methods),))
    server.add_insecure_port("[::]:GRPC")
    server.start()
    app.run(port=HTTP)
"""


def server(says: str, http: int, grpc_port: int) -> str:
    return SERVER.replace("SAYS", says).replace("HTTP", str(http)).replace("GRPC", str(grpc_port))


def say(port: int) -> bytes:
    with grpc.insecure_channel(f"localhost:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        ask: Any = channel.unary_unary("/talk.Talk/Say")
        return bytes(ask(b"", timeout=PATIENCE))


def get(port: int) -> str:
    return requests.get(f"http://localhost:{port}/", timeout=PATIENCE, proxies={"http": ""}).text


def is_told(line: Any) -> bool:
    return "which is not declared" in getattr(line, "text", "")


def test_they_are_served_told_once_and_edited(tmp_path: Path) -> None:
    http = free_row(2)
    files = {"server.py": server("one", http, http + 1), "mesh.toml": toml(talk='run = "server.py"')}
    edited = Edited(tmp_path, files)
    with edited.awaiting(is_told, count=2) as told, edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].http)
        state = edited.supervisor.snapshot["talk"]
        assert (state.urls, state.places) == ([f"http://127.0.0.1:{http}"], [f"grpc 127.0.0.1:{http + 1}"])
        assert (get(http), say(http + 1)) == ("one", b"one")
        for word in ("two", "three"):
            edited.reload("talk", {"server.py": server(word, http, http + 1)})
            assert (get(http), say(http + 1)) == (word, word.encode())
    so_that = "so that its name leads there, and so that the port can be moved"
    assert [each.text.replace(f"{tmp_path}/", "") for each in told] == [
        f"server.py:15 listens on gRPC port {http + 1}, which is not declared; add grpc = {http + 1} to services.talk, "
        + so_that,
        f"server.py:17 listens on HTTP port {http}, which is not declared; add http = {http} to services.talk, "
        + so_that,
    ]


def test_one_that_another_program_has_is_named_with_the_way_out(tmp_path: Path) -> None:
    http = free_row(2)
    files = {"server.py": server("one", http, http + 1), "mesh.toml": toml(talk='run = "server.py"')}
    with socket.create_server(("127.0.0.1", http + 1)), Edited(tmp_path, files) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "failed")
        reason = edited.supervisor.snapshot["talk"].reason or ""
    assert f"listens on gRPC port {http + 1}, which is not declared: grpc port {http + 1} is held by" in reason
    assert f"; stop it, or declare it (grpc = {http + 1} in services.talk), so that it can be moved" in reason


def test_one_that_an_edit_changes_is_refused_and_the_code_before_serves_on(tmp_path: Path) -> None:
    http = free_row(3)
    files = {"server.py": server("one", http, http + 1), "mesh.toml": toml(talk='run = "server.py"')}
    with Edited(tmp_path, files) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].http)
        with edited.awaiting(lambda entry: is_kept(entry, "talk")) as kept:
            edited.save({"server.py": server("two", http + 2, http + 1)})
        assert (
            f"listens on HTTP port {http + 2}, and before the edit on {http}; add http = {http + 2}" in kept[0].reason
        )
        assert get(http) == "one"


METRICS = """
    import http.server, threading
    import flask

    class Metrics(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"SAYS")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", METRICS), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    app = flask.Flask("app")
    app.add_url_rule("/", view_func=lambda: "SAYS")
    app.run(port=HTTP)
"""


def test_a_port_beside_the_listeners_is_the_new_programs_after_an_edit(tmp_path: Path) -> None:
    """As of prometheus_client's `start_http_server`, whose thread nothing ends but the end of the process."""
    http = free_row(2)
    code = METRICS.replace("METRICS", str(http + 1)).replace("port=HTTP", f"port={http}")
    files = {"server.py": code.replace("SAYS", "one1"), "mesh.toml": toml(talk=f'run = "server.py"\nhttp = {http}')}
    with Edited(tmp_path, files) as edited:
        assert edited.supervisor.failures() == []
        assert (get(http), get(http + 1)) == ("one1", "one1")
        edited.reload("talk", {"server.py": code.replace("SAYS", "two2")})
        assert get(http) == "two2"
        until_one_has(http + 1)
        assert get(http + 1) == "two2"
        assert [line for line in edited.lines("talk") if "binds port" in line] == [
            f"{tmp_path}/server.py:15 binds port {http + 1} itself, where mesh sees nothing and moves nothing; if it "
            f"speaks HTTP, add http = {http + 1} to services.talk"
        ]
    assert holders(http + 1) == []


def test_such_a_port_of_another_process_is_not_shared(tmp_path: Path) -> None:
    """Not even where that one would share it."""
    http = free_row(2)
    code = METRICS.replace("METRICS", str(http + 1)).replace("port=HTTP", f"port={http}")
    files = {"server.py": code.replace("SAYS", "one1"), "mesh.toml": toml(talk=f'run = "server.py"\nhttp = {http}')}
    with socket.create_server(("127.0.0.1", http + 1), reuse_port=True), Edited(tmp_path, files) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "failed")
        assert "Address already in use" in (edited.supervisor.snapshot["talk"].reason or "")


def until_one_has(port: int) -> None:
    """Wait for the program before the edit to end, with the thread of its server."""
    until = time.monotonic() + PATIENCE
    while len(holders(port)) != 1 or sum("serve_forever" in each.name for each in threading.enumerate()) != 1:
        assert time.monotonic() < until
        time.sleep(0.01)


def holders(port: int) -> list[Any]:
    found = psutil.Process().net_connections("tcp")
    return [each for each in found if each.laddr.port == port and each.status == psutil.CONN_LISTEN]
