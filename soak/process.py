"""A mesh as a process: from `mesh up` to the signal that ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

MESH = str(Path(sys.executable).with_name("mesh"))
#: Seconds for a start, and for an end.
PATIENCE = 60.0
#: What no mesh may write on stderr, whatever is done to it; the mistakes of the project's code are events on stdout.
_ALARMING = ("Traceback", "Fatal Python error", "Segmentation fault", "terminate called")


class MeshProcess:
    """Raises RuntimeError where it does not come up. alarming: lines that it wrote on stderr and should not have."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.alarming: list[str] = []
        self.loads = 0
        self.process = subprocess.Popen(
            [MESH, "up", "--free-ports", "--json", "--quiet", *options],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._ready = threading.Event()
        self._services: dict[str, dict[str, Any]] = {}
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        readers = ((self._read_events, self.process.stdout), (self._read_errors, self.process.stderr))
        self._readers = [threading.Thread(target=read, args=(stream,), daemon=True) for read, stream in readers]
        for each in self._readers:
            each.start()
        if not self._ready.wait(PATIENCE) or not self._services:
            self.end(signal.SIGKILL)
            raise RuntimeError(f"mesh did not start: {self.alarming}")

    def http(self, service: str) -> tuple[str, int]:
        host, _, port = self._services[service]["http"][0].removeprefix("http://").rpartition(":")
        return host, int(port)

    def grpc(self, service: str) -> str:
        return str(self._services[service]["grpc"])

    def end(self, number: signal.Signals) -> int:
        """Send the signal; returns the exit status. A process that does not end is killed."""
        self.process.send_signal(number)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.alarming.append(f"did not end after {number.name}")
            self.process.kill()
            status = self.process.wait()
        for each in self._readers:
            each.join(PATIENCE)
        return status

    def _read_events(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                event = json.loads(line)
                if event["event"] == "ready":
                    self._services = {each["name"]: each for each in event["services"]}
                    self._ready.set()
                elif event["event"] == "line" and event["text"].startswith("live in "):
                    self.loads += 1
        self._ready.set()

    def _read_errors(self, stream: IO[str]) -> None:
        with stream:
            self.alarming += [line.rstrip() for line in stream if line.startswith(_ALARMING)]
