"""A steady load on HTTP and gRPC while code is edited and clients leave: nothing fails, and nothing grows."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import grpc
import psutil

from soak.figures import Figure
from soak.process import PATIENCE, MeshProcess

_FILES = {
    "mesh.toml": """\
[mesh]
protos = ["proto"]

[services.web]
http = { port = 0, app = "app:app" }
grpc = { port = 0, servicers = ["talk:Talk"] }
""",
    "proto/talk.proto": (
        'syntax = "proto3"; service Talk { rpc Say(Word) returns (Word); } message Word { string text = 1; }'
    ),
    "app.py": """\
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import part

async def index(request):
    return PlainTextResponse(f"{part.NUMBER} {len(await request.body())}")

app = Starlette(routes=[Route("/", index, methods=["GET", "POST"])])
""",
    "talk.py": """\
import talk_pb2_grpc
import part

class Talk(talk_pb2_grpc.TalkServicer):
    def Say(self, request, context):
        return request
""",
}
#: Seconds between two edits, of which every tenth does not compile; and between two calls of one caller.
_EDIT_EVERY, _CALL_EVERY = 0.5, 0.005
_CALLERS = 4


class _Count:
    """calls, failed: of all callers; a call that fails is kept by its words."""

    def __init__(self) -> None:
        self.calls = 0
        self.failures: list[str] = []

    def add(self, call: Callable[[], None]) -> None:
        self.calls += 1
        try:
            call()
        except (OSError, http.client.HTTPException, grpc.RpcError, AssertionError) as error:
            self.failures.append(repr(error))


def figures(folder: Path, seconds: float) -> Iterator[Figure]:
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    _edit(folder, 0)
    mesh = MeshProcess(folder, "--memory")
    over, count = threading.Event(), _Count()
    workers = [threading.Thread(target=_ask_http, args=(mesh, over, count)) for _ in range(_CALLERS)]
    workers += [threading.Thread(target=_ask_grpc, args=(mesh, over, count)) for _ in range(_CALLERS)]
    workers.append(threading.Thread(target=_leave, args=(mesh, over)))
    try:
        for each in workers:
            each.start()
        samples = list(_samples(folder, psutil.Process(mesh.process.pid), seconds))
    finally:
        over.set()
        for each in workers:
            each.join(PATIENCE)
        status = mesh.end(signal.SIGTERM)
    for failure in (count.failures + mesh.alarming)[:5]:
        print(f"  {failure}")
    yield Figure("steady: calls", count.calls)
    yield Figure("steady: calls that failed", len(count.failures), at_most=0)
    yield Figure("steady: loads of edited code", mesh.loads)
    first, last = samples[len(samples) // 4 : len(samples) // 2] or samples, samples[-len(samples) // 4 :]
    # Pools of threads may fill late in a short run; a thread that every load leaves behind would make hundreds.
    for index, (what, unit, growth, slack) in enumerate(
        (("memory", "MiB", 1.2, 10), ("threads", "", 1.0, 32), ("descriptors", "", 1.0, 20))
    ):
        before, after = (median(each[index] for each in part) for part in (first, last))
        yield Figure(f"steady: {what} early on", before, unit)
        yield Figure(f"steady: {what} at the end", after, unit, round(before * growth + slack))
    yield Figure("steady: alarming lines, or another end", len(mesh.alarming) + (status != 143), at_most=0)


def _samples(folder: Path, process: psutil.Process, seconds: float) -> Iterator[tuple[float, float, float]]:
    """Edit for so long; memory in MiB, threads and descriptors after each edit."""
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        number += 1
        _edit(folder, number)
        time.sleep(_EDIT_EVERY)
        with process.oneshot():
            yield process.memory_info().rss / 1024**2, process.num_threads(), process.num_fds()


def _edit(folder: Path, number: int) -> None:
    (folder / "part.py").write_text("NUMBER =\n" if number % 10 == 9 else f"NUMBER = {number}\n")


def _ask_http(mesh: MeshProcess, over: threading.Event, count: _Count) -> None:
    connection = http.client.HTTPConnection(*mesh.http("web"), timeout=PATIENCE)

    def call() -> None:
        connection.request("POST", "/", b"x" * 1000)
        response = connection.getresponse()
        assert response.read().endswith(b" 1000"), response.status

    while not over.wait(_CALL_EVERY):
        count.add(call)
    connection.close()


def _ask_grpc(mesh: MeshProcess, over: threading.Event, count: _Count) -> None:
    with grpc.insecure_channel(mesh.grpc("web")) as channel:
        say: Callable[..., bytes] = channel.unary_unary("/Talk/Say")

        def call() -> None:
            assert say(b"\n\x05hello", timeout=PATIENCE) == b"\n\x05hello"

        while not over.wait(_CALL_EVERY):
            count.add(call)


def _leave(mesh: MeshProcess, over: threading.Event) -> None:
    """Clients that announce a body and leave in the middle of it."""
    while not over.wait(0.05):
        with socket.create_connection(mesh.http("web"), timeout=PATIENCE) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
