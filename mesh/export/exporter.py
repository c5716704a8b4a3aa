"""Sends what is recorded to a collector over OTLP/HTTP, behind the services' backs: in batches, by one thread."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from mesh.errors import MeshError, UsageError
from mesh.observing.journal import Entry, Line
from mesh.observing.secrets import Secrets
from mesh.observing.span import Span

#: Seconds between two batches.
INTERVAL_SECONDS = 1.0
#: Entries that may wait, and of one batch.
BACKLOG, BATCH = 20_000, 2_000
TIMEOUT_SECONDS = 10.0


class Exporter:
    """A journal's subscriber that never blocks the thread that appends.

    url: where the collector listens, such as http://localhost:4318. warn: takes a sentence once it cannot be reached;
    what was to be sent then, and what exceeds the backlog, is counted and left out.
    Raises UsageError for another kind of url, MeshError without the extra `otlp`.
    """

    def __init__(self, url: str, secrets: Secrets, warn: Callable[[str], object]) -> None:
        self._parts = urlsplit(url)
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname:
            raise UsageError(f"--otlp {url}: write the address of a collector, such as http://localhost:4318")
        try:
            from mesh.export import messages
        except ImportError as error:
            raise MeshError(f"--otlp needs {error.name}: pip install 'mesh-runner[otlp]'") from error
        self._messages = messages
        self._url = url
        self._secrets = secrets
        self._warn = warn
        self._waiting: deque[Span | Line] = deque(maxlen=BACKLOG)
        #: How many entries the collector has not got.
        self.lost = 0
        self._wake = threading.Event()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._thread.start()

    def __call__(self, entry: Entry) -> None:
        if isinstance(entry, Line) or (isinstance(entry, Span) and entry.kind != "internal"):
            self.lost += len(self._waiting) >= BACKLOG
            self._waiting.append(entry)

    def close(self) -> None:
        """Send what is left and stop the thread."""
        self._is_ending = True
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(INTERVAL_SECONDS)
            is_last = self._is_ending
            while batch := self._take():
                self._send([each for each in batch if isinstance(each, Span)], traces=True)
                self._send([each for each in batch if isinstance(each, Line)], traces=False)

    def _take(self) -> list[Span | Line]:
        batch: list[Span | Line] = []
        while self._waiting and len(batch) < BATCH:
            batch.append(self._waiting.popleft())
        return batch

    def _send(self, entries: list[Span] | list[Line], traces: bool) -> None:
        if not entries:
            return
        try:
            if traces:
                self._post("/v1/traces", self._messages.traces(entries, self._secrets))  # type: ignore[arg-type]
            else:
                self._post("/v1/logs", self._messages.logs(entries))  # type: ignore[arg-type]
        except (OSError, http.client.HTTPException) as error:
            self.lost += len(entries)
            self._warn(f"{self._url} takes no OTLP: {error}; what it does not take is left out")
            self._warn = lambda text: None

    def _post(self, path: str, body: bytes) -> None:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT_SECONDS)
        try:
            headers = {"content-type": "application/x-protobuf"}
            connection.request("POST", self._parts.path.rstrip("/") + path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 300:
                raise OSError(f"{path} was answered with {answer.status}")
        finally:
            connection.close()
