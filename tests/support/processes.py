"""mesh as a separate process, for the tests that need one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MESH = str(Path(sys.executable).with_name("mesh"))

#: Seconds in which a mesh must be ready; a machine with six other test runs on it needs some of them.
READY_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class RunningMesh:
    """ready: the event that `mesh up --json` prints when every service is ready or has failed."""

    process: subprocess.Popen[str]
    ready: Mapping[str, Any]

    def __getitem__(self, service: str) -> Mapping[str, Any]:
        return next(each for each in self.ready["services"] if each["name"] == service)

    def http(self, service: str) -> list[str]:
        """Return the URLs of the service's HTTP listener."""
        return list(self[service]["http"])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=READY_WITHIN)


@contextmanager
def mesh_up(
    folder: Path, *options: str, command: tuple[str, ...] = (MESH,), env: Mapping[str, str] | None = None
) -> Iterator[RunningMesh]:
    """`mesh up --free-ports` in the folder, from ready to SIGTERM. Further options may say which services."""
    process = subprocess.Popen(
        [*command, "up", "--free-ports", "--json", "--quiet", *options],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(READY_WITHIN, process.kill)
    watchdog.start()
    try:
        yield RunningMesh(process, _ready(process))
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=READY_WITHIN)


def _ready(process: subprocess.Popen[str]) -> Mapping[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "ready":
            return event
    raise AssertionError(f"mesh ended with {process.wait()} before it was ready")
