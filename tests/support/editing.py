"""A project that is edited while it runs in this process."""

from __future__ import annotations

import contextlib
import re
import textwrap
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mesh.observing.journal import Change, Entry, Line
from mesh.pytest_plugin import Mesh
from mesh.runtime.messages import Changed
from mesh.runtime.options import Options
from mesh.runtime.supervisor import Supervisor
from mesh.store.topology import store
from mesh.topology.loading import load
from mesh.topology.selection import renumber, select

#: Seconds for anything that is waited for.
PATIENCE = 40.0

T = TypeVar("T")


class Edited:
    """files: by name. Without `watch=True` nothing is noticed but what `save` writes and tells.

    free: every declared port is moved to a free one.
    """

    def __init__(self, folder: Path, files: Mapping[str, str], free: bool = False, **options: Any) -> None:
        self.folder = folder
        self.write(files)
        self._news = threading.Condition()
        self._entries: list[Entry] = []

        def read() -> Any:
            declared = load(None, folder, store)
            return select(renumber(declared, None, free=True) if free else declared)

        self.supervisor = Supervisor(read(), Options(**options), read)
        self.supervisor.journal.subscribe(self._hear)
        self.mesh = Mesh(self.supervisor)

    def __enter__(self) -> Edited:
        self.supervisor.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.mesh.close()

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(textwrap.dedent(text))

    def save(self, files: Mapping[str, str]) -> None:
        self.write(files)
        self.tell(files)

    def tell(self, names: Iterable[str]) -> None:
        """Report that these files changed."""
        self.supervisor.post(Changed(frozenset(self.folder / name for name in names)))

    def reload(self, service: str, files: Mapping[str, str]) -> str:
        """Saves, and returns the line that says that the service is live."""
        with self.awaiting(lambda entry: is_live(entry, service)) as found:
            self.save(files)
        return str(found[0].text)

    @contextlib.contextmanager
    def awaiting(self, wanted: Callable[[Any], bool], count: int = 1) -> Any:
        """Leave the block when so many entries of the kind came since it was entered; they are in the list."""
        start = len(self._entries)
        found: list[Any] = []
        yield found
        with self._news:
            came = self._news.wait_for(lambda: sum(map(wanted, self._entries[start:])) >= count, PATIENCE)
            found += [entry for entry in self._entries[start:] if wanted(entry)]
        if not came:
            pytest.fail("it did not come; there was\n" + "\n".join(map(str, self._entries[start:])))

    def until(self, found: Callable[[], object]) -> None:
        """Wait for it, asking again at everything that happens."""
        with self._news:
            if not self._news.wait_for(found, PATIENCE):
                pytest.fail("it did not come; there was\n" + "\n".join(map(str, self._entries)))

    def lines(self, service: str) -> list[str]:
        return [each.text for each in list(self._entries) if isinstance(each, Line) and each.service == service]

    def last(self, service: str) -> Line:
        """Return the service's newest line."""
        return next(e for e in reversed(list(self._entries)) if isinstance(e, Line) and e.service == service)

    def get(self, service: str, path: str = "/") -> str:
        answer = self.mesh.http(service).get(path, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer.text

    def _hear(self, entry: Entry) -> None:
        with self._news:
            self._entries.append(entry)
            self._news.notify_all()


def is_live(entry: Entry, service: str) -> bool:
    return isinstance(entry, Line) and entry.service == service and bool(LIVE.match(entry.text))


def is_kept(entry: Entry, service: str) -> bool:
    return isinstance(entry, Change) and entry.service == service and "still serving" in (entry.reason or "")


LIVE = re.compile(r"(live|restarted) in \d+ ms  \(")


def toml(**services: str) -> str:
    """Return a mesh.toml of these tables, each on a free port."""
    return "\n".join(f"[services.{name}]\n{text}" for name, text in services.items())


#: An ASGI application that answers with what the expression says at the time.
PLAIN = """
    {imports}

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": str({says}).encode()}})
"""


def plain(says: str, imports: str = "") -> str:
    return textwrap.dedent(PLAIN).format(says=says, imports=imports)
