"""uvicorn's httptools protocol with the limits it lacks.

httptools accepts a missing or doubled Host and headers of any size, and uvicorn waits without limit for the rest of a
request (measured; see docs/http.md).
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from mesh.compat.uvicorn import STATUS_LINE, HttpToolsProtocol, websocket_protocol
from mesh.errors import Code
from mesh.serving.http.admission import Admission
from mesh.serving.http.coalescing_transport import CoalescingTransport
from mesh.topology.model import Limits

_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


class GuardedProtocol(HttpToolsProtocol):
    """Refuses invalid requests with 400, 408, 414 or 431, and closes connections whose headers never end."""

    refusal: tuple[int, str] | None = None
    header_bytes = 0
    slow: asyncio.TimerHandle | None = None
    stalled: asyncio.TimerHandle | None = None
    #: Set by the server, on its subclass of this class.
    admission: Admission
    limits = Limits()
    active_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]  # it is one by its methods
        self.timeout_keep_alive = self.limits.idle_seconds  # type: ignore[assignment]  # for any fraction of a second
        self._expect_headers()
        self.active_at = self.loop.time()
        if not self.admission.admits(self, transport.get_extra_info("socket").fileno()):
            self._answer_and_close(503, Code.UNAVAILABLE, "too many connections")

    def is_idle(self) -> bool:
        """Return True between two requests, and before the first byte of the first."""
        if self.transport.is_closing():
            return False
        return self.header_bytes == 0 if self.cycle is None else self.cycle.response_complete and not self.pipeline

    def close_idle(self) -> None:
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        self._body_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.active_at = self.loop.time()
        self.header_bytes = 0
        if self.slow is None:
            self._expect_headers()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            self._refuse(414, f"the request target is longer than {self.limits.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self.header_bytes += len(name) + len(value)
        limits = self.limits
        if self.header_bytes > limits.header_bytes or len(self.headers) > limits.headers:
            self._refuse(431, f"more than {limits.headers} headers or {limits.header_bytes} bytes of them")

    def on_headers_complete(self) -> None:
        self._headers_came()
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) != 1 and self.parser.get_http_version() == "1.1":
            self._refuse(400, "a request needs exactly one Host header")
        if not all(map(_HOST.fullmatch, hosts)):
            self._refuse(400, "the Host header is not host[:port]")
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A header that does not end is not passed to on_header: count what arrives while headers are expected.
        if self.slow is not None:
            self.header_bytes += len(data)
            if self.header_bytes > 2 * (self.limits.header_bytes + self.limits.url_bytes):
                self.refusal = (431, f"more than {self.limits.header_bytes} bytes of headers")
                self.send_400_response("")
        self._body_came()
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self._expect_body()

    def send_400_response(self, msg: str) -> None:
        status, reason = self.refusal or (400, "not a valid HTTP/1.1 request")
        self._answer_and_close(status, Code.INVALID_ARGUMENT, reason)

    def _answer_and_close(self, status: int, code: Code, reason: str) -> None:
        body = json.dumps({"code": code, "message": reason, "details": []}).encode()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + head + body)
            self.transport.close()

    def _should_upgrade_to_ws(self) -> bool:
        self.ws_protocol_class: Any = websocket_protocol()
        return True

    def _refuse(self, status: int, reason: str) -> None:
        self.refusal = (status, reason)
        raise ValueError(reason)  # httptools turns it into its own error, and uvicorn that into send_400_response

    def _expect_headers(self) -> None:
        self.slow = self.loop.call_later(self.limits.header_seconds, self._hang_up)

    def _headers_came(self) -> None:
        if self.slow is not None:
            self.slow.cancel()
            self.slow = None

    def _expect_body(self) -> None:
        if any(name == b"content-length" for name, _ in self.headers):
            self.stalled = self.loop.call_later(self.limits.body_seconds, self._give_up)

    def _body_came(self) -> None:
        if self.stalled is not None:
            self.stalled.cancel()
            self.stalled = None

    def _give_up(self) -> None:
        if self.flow.read_paused:  # The application is not reading what has arrived.
            self._expect_body()
        elif self.pipeline or self.cycle.response_started:
            self._hang_up()
        else:
            seconds = self.limits.body_seconds
            self.refusal = (408, f"nothing of the announced body has arrived for {seconds:g} s")
            self.send_400_response("")

    def _hang_up(self) -> None:
        self.slow = None
        if not self.transport.is_closing():
            self.transport.close()
