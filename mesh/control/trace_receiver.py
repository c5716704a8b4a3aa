"""Receives spans over OTLP/HTTP from services that bring their own OpenTelemetry SDK."""

from __future__ import annotations

import asyncio
import gzip
import threading

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mesh.errors import MeshError, UsageError
from mesh.export.merging import Merger
from mesh.observing.journal import Journal
from mesh.serving.http.server import HttpServer
from mesh.serving.server_sockets import listen
from mesh.topology.model import Address

#: Where an SDK sends to unless it is told otherwise.
OTLP_PORT = 4318
SETTLE_SECONDS = 0.5
MAX_BODY = 64 * 1024 * 1024


class TraceReceiver:
    """Binds at construction, on loopback. Raises UsageError if the port is taken, MeshError without the extra."""

    def __init__(self, journal: Journal, port: int = OTLP_PORT) -> None:
        try:
            from mesh.export.messages import received
        except ImportError as error:
            raise MeshError(f"--otlp-port needs {error.name}: pip install 'mesh-runner[otlp]'") from error
        self._received = received
        self._merger = Merger(journal.append)
        self._unsubscribe = journal.subscribe(self._merger)
        try:
            self._socket = listen(Address("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"--otlp-port {port}: the port is taken, perhaps by a collector; give another one, and tell the "
                "services by OTEL_EXPORTER_OTLP_ENDPOINT"
            ) from error
        self.port = int(self._socket.getsockname()[1])
        app = Starlette(routes=[Route("/v1/traces", self._take, methods=["POST"])])
        self._server = HttpServer([self._socket], app)
        self._serving = threading.Event()

    def start(self) -> None:
        """Start the server; return once it answers."""
        threading.Thread(target=lambda: asyncio.run(self._serve()), name="otlp receiver", daemon=True).start()
        self._serving.wait()

    def close(self) -> None:
        """Record what still waits, and close the port."""
        self._merger.settle(at_once=True)
        self._unsubscribe()
        self._socket.close()

    async def _serve(self) -> None:
        await self._server.start()
        self._serving.set()
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            self._merger.settle()

    async def _take(self, request: Request) -> Response:
        # A page of a browser can send no body of this type without asking first.
        if request.headers.get("content-type") != "application/x-protobuf":
            return Response("send application/x-protobuf\n", 415)
        if int(request.headers.get("content-length", MAX_BODY + 1)) > MAX_BODY:
            return Response("the body is too long\n", 413)
        body = await request.body()
        try:
            if request.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            spans = self._received(body)
        except (ValueError, OSError, EOFError) as error:
            return Response(f"the body is no ExportTraceServiceRequest: {error}\n", 400)
        await run_in_threadpool(self._merger.receive, spans)
        return Response(b"", media_type="application/x-protobuf")
