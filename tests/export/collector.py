"""A collector that keeps what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE = 60.0


class Collector:
    """url: where it listens. spans, records: what has come, each with the name of its service."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[tuple[str, Any]] = []
        self.records: list[tuple[str, Any]] = []
        self._news = threading.Condition()

    def take(self, path: str, body: bytes) -> None:
        with self._news:
            if path == "/v1/traces":
                for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                    self.spans += [(_service(each), span) for scope in each.scope_spans for span in scope.spans]
            else:
                for found in ExportLogsServiceRequest.FromString(body).resource_logs:
                    self.records += [(_service(found), one) for scope in found.scope_logs for one in scope.log_records]
            self._news.notify_all()

    def wait(self, spans: int, records: int) -> None:
        """Return once so many have come."""
        with self._news:
            enough = self._news.wait_for(lambda: len(self.spans) >= spans and len(self.records) >= records, PATIENCE)
        assert enough, (self.spans, self.records)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(message: Any) -> dict[str, Any]:
    """Return the attributes of a span, a record or a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in message.attributes}


def _service(found: Any) -> str:
    return str(attributes(found.resource)["service.name"])
