"""A WSGI application learns that its client has left, on real connections."""

from __future__ import annotations

import gc
import socket
import threading
from pathlib import Path

from mesh.observing.journal import Change
from mesh.runtime.messages import ServiceCommand
from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, Project, gate, supervised

APP = """\
from tests.support.supervised import gate

CLOSED = []


def stream(number):
    try:
        while not gate("the test is over").wait(0.01):
            yield b"x" * 1000
    finally:
        CLOSED.append(number)
        if len(CLOSED) == 12:
            gate("all closed").set()


def last():
    try:
        yield b"x"
        gate("waits").set()
        gate("go on").wait(60)
    finally:
        gate("ended").set()


def app(environ, start_response):
    if environ["PATH_INFO"] == "/upload":
        try:
            environ["wsgi.input"].read()
            gate("read as a whole").set()
        except OSError:
            gate("broken off").set()
            raise
    write = start_response("200 OK", [])
    if environ["PATH_INFO"] == "/written":
        try:
            while not gate("the test is over").wait(0.01):
                write(b"x" * 1000)
        except OSError:
            gate("no more written").set()
            raise
    if environ["PATH_INFO"] == "/last":
        return last()
    return stream(1) if environ["PATH_INFO"] == "/stream" else [b"here"]
"""
FILES = {"mesh.toml": '[services.web]\nhttp = { port = 0, app = "app:app" }\n', "app.py": APP}


def test_a_stream_is_closed_when_its_reader_leaves(tmp_path: Path) -> None:
    with supervised(tmp_path, FILES) as project:
        for _ in range(12):
            _ask_and_leave(project, b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert gate("all closed").wait(PATIENCE)
        assert project.get("web", "/").text == "here"


def test_a_stream_is_closed_although_the_request_had_a_body_that_nobody_read(tmp_path: Path) -> None:
    with supervised(tmp_path, FILES) as project:
        for _ in range(12):
            _ask_and_leave(project, b"POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody")
        assert gate("all closed").wait(PATIENCE)


def test_writing_to_a_client_that_has_left_raises(tmp_path: Path) -> None:
    with supervised(tmp_path, FILES) as project:
        _ask_and_leave(project, b"GET /written HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert gate("no more written").wait(PATIENCE)


def test_an_upload_that_breaks_off_is_not_read_as_a_whole_one(tmp_path: Path) -> None:
    with supervised(tmp_path, FILES) as project:
        for head in (b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"):
            with _connected(project) as client:
                client.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\n" + head)
            assert gate("broken off").wait(PATIENCE)
            gate("broken off").clear()
        assert not gate("read as a whole").is_set()


# An error in a thread that goes on after the stop is a warning, which fails this test.
def test_an_answer_that_ends_after_its_service_was_stopped_is_dropped(tmp_path: Path) -> None:
    with supervised(tmp_path, FILES, Options(grace=0.2)) as project:
        client = _connected(project)
        client.sendall(b"GET /last HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(2000)
        assert gate("waits").wait(PATIENCE)
        workers = [each for each in threading.enumerate() if each.name.startswith("WSGI")]
        project.supervisor.post(ServiceCommand("web", "stop"))
        project.wait_for(lambda each: isinstance(each, Change) and (each.service, each.state) == ("web", "stopped"))
        gate("go on").set()
        for each in workers:
            each.join(PATIENCE)
        assert gate("ended").is_set()
    client.close()
    gc.collect()


def _ask_and_leave(project: Project, request: bytes) -> None:
    """Send the request, and close the connection once the answer has begun."""
    with _connected(project) as client:
        client.sendall(request)
        assert client.recv(2000)


def _connected(project: Project) -> socket.socket:
    address = project.supervisor.directory.address("web", "http")
    return socket.create_connection((address.host, address.port), PATIENCE)
