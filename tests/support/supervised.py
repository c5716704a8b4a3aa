"""A project written where a test wants it, supervised in the test's process."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import requests

from mesh.observing.journal import Change, Entry, Line
from mesh.runtime.messages import Stop
from mesh.runtime.options import Options
from mesh.runtime.supervisor import Supervisor
from mesh.topology.declaration.reading import read
from mesh.topology.selection import renumber

#: Seconds; a machine that is busy with other tests needs some of them.
PATIENCE = 60.0

#: A machine that is busy with other tests takes long to import, too.
SLOWLY = Options(start_within=PATIENCE)

#: An application that answers with its path, written as a module's text.
ECHO = """\
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))


class Project:
    """A supervisor of mesh.toml in the folder, on free ports, and everything that its journal was told."""

    def __init__(self, folder: Path, files: dict[str, str], options: Options | None = None) -> None:
        write(folder, files)
        file = folder / "mesh.toml"
        self.supervisor = Supervisor(renumber(read(file.read_text(), file, file), None, True), options or SLOWLY)
        self.entries: list[Entry] = []
        self._news = threading.Condition()
        self.supervisor.journal.subscribe(self._note)
        self._session = requests.Session()
        self._session.trust_env = False

    def _note(self, entry: Entry) -> None:
        with self._news:
            self.entries.append(entry)
            self._news.notify_all()

    def wait_for(self, wanted: Callable[[Entry], Any], since: int = 0) -> Any:
        """Return the first such entry, as soon as it is there."""
        with self._news:
            found = self._news.wait_for(lambda: next(filter(wanted, self.entries[since:]), None), PATIENCE)
        assert found, self.entries[since:]
        return found

    def line(self, service: str, text: str, since: int = 0) -> Line:
        """Return the first line of the service with that text."""
        found: Line = self.wait_for(
            lambda each: isinstance(each, Line) and each.service == service and text in each.text, since
        )
        return found

    def change(self, service: str, state: str, reason: str = "", since: int = 0) -> Change:
        """Return the first time that the service is in that state, for a reason with that text."""
        found: Change = self.wait_for(
            lambda each: (
                isinstance(each, Change)
                and (each.service, each.state) == (service, state)
                and reason in (each.reason or "")
            ),
            since,
        )
        return found

    def get(self, service: str, path: str, timeout: float = 30) -> requests.Response:
        address = self.supervisor.directory.address(service, "http")
        return self._session.get(f"http://{address}{path}", timeout=timeout)

    def start(self, settled: bool) -> None:
        """Bind and runs; returns once every service is ready or has failed, where that is wanted."""
        self.supervisor.bind()
        self._thread = threading.Thread(target=self.supervisor.run, daemon=True)
        self._thread.start()
        if settled:
            assert self.supervisor.settled.wait(PATIENCE)

    def close(self) -> None:
        self.supervisor.post(Stop("the test is over", 0))
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self._session.close()


@contextmanager
def supervised(
    folder: Path, files: dict[str, str], options: Options | None = None, settled: bool = True
) -> Iterator[Project]:
    """The project, from when every service is ready or has failed (or, without `settled`, before) to its end."""
    project = Project(folder, files, options)
    project.start(settled)
    try:
        yield project
    finally:
        for each in GATES.values():
            each.set()
        project.close()
        GATES.clear()


#: What services' code waits at, for as long as a test wants: they import this module as they would a library.
GATES: dict[str, threading.Event] = {}


def gate(name: str) -> threading.Event:
    return GATES.setdefault(name, threading.Event())


def busy(seconds: float) -> Iterator[float]:
    """Return an iterator that computes for this long when it is exhausted, holding the GIL: it is C code throughout."""
    end = time.monotonic() + seconds
    return takewhile(end.__gt__, iter(time.monotonic, None))
