"""Free ports instead of those that a page of documentation names."""

from __future__ import annotations

import json
import random
import re
import socket
from contextlib import suppress
from pathlib import Path

#: The store's, in the order in which --port-base gives them out.
STORE = (5000, 8000, 5001, 50051, 5002, 50052, 5003)
CONTROL = 4999

_BASE = re.compile(r"--port-base (\d+)")
_NAMED = re.compile(r"(?:localhost|127\.0\.0\.1|-service|ports?(?: ?= ?[\[(]?)) ?:?(\d{4,5})(?:, (\d{4,5}))?")


class Ports:
    """text: of the whole page. folder: where its meshes run; their control ports are read from what they note there."""

    def __init__(self, text: str, folder: Path) -> None:
        self._folder = folder
        declared = [*STORE, *_named(text)]
        self._base = free_row(len(declared))
        self._real = {port: self._base + index for index, port in enumerate(declared)}
        for base in map(int, _BASE.findall(text)):
            row = free_row(len(STORE))
            self._real |= {base + index: row + index for index in range(len(STORE))}
        self._control: dict[int, int] = {}

    def real(self, text: str) -> str:
        """Return the text of a page, with the ports there are."""
        self._look()
        return _replaced(text, self._real | {CONTROL: next(iter(self._control), CONTROL)})

    def command(self, text: str) -> str:
        """Return a `mesh up` of the page; ports that no file of the page declares need to be asked for."""
        own = (self._folder / "mesh.toml").exists() or "--port-base" in text or "--free-ports" in text
        return self.real(text) if own else f"{self.real(text)} --port-base {self._base}"

    def shown(self, text: str) -> str:
        """Return what was printed, with the ports of the page."""
        self._look()
        return _replaced(text, {real: port for port, real in self._real.items()} | self._control)

    def _look(self) -> None:
        for path in self._folder.rglob(".mesh/run/*.json"):
            with suppress(OSError, ValueError):
                self._control[int(json.loads(path.read_text())["url"].rpartition(":")[2])] = CONTROL


def _named(text: str) -> list[int]:
    """Return the ports beside the store's, in the order in which the page names them: that of their declaration."""
    found = (int(port) for ports in _NAMED.findall(text) for port in ports if port)
    bases = [range(int(base), int(base) + len(STORE)) for base in _BASE.findall(text)]
    return [
        port for port in dict.fromkeys(found) if port not in (*STORE, CONTROL) and not any(port in row for row in bases)
    ]


def free_row(count: int) -> int:
    """Return the first of `count` ports in a row that nobody has, outside the range of outgoing connections."""
    while True:
        base = random.randrange(10_000, 32_000, 8)
        if all(_is_free(port) for port in range(base, base + count)):
            return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _replaced(text: str, ports: dict[int, int]) -> str:
    if not ports:
        return text
    pattern = re.compile(rf"(?<![\d.])(?:{'|'.join(map(str, ports))})(?!\d)")
    return pattern.sub(lambda found: str(ports[int(found[0])]), text)
