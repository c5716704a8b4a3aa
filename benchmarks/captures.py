"""What the terminal shows: `python -m benchmarks.captures docs/terminal.md` runs mesh 80 and 120 columns wide.

Twenty services, one with a name of fifty characters, of which some are slow, fail, log and block. What stands between
the marks of the page is replaced.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

import requests

from benchmarks.programs import ENVIRONMENT, MESH, free_row

BEGIN, END = "<!-- the captures, as made -->", "<!-- end of the captures -->"
LONG = "a-service-with-a-name-of-fifty-characters-in-total"
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_APP = """\
import logging
import os
import time
import urllib.request

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route


def ask(path):
    with urllib.request.urlopen(f"http://localhost:{os.environ['NEXT']}{path}") as answer:
        return answer.read()


async def order(request):
    logging.getLogger("shop").warning("stock of product 7 is low")
    await run_in_threadpool(ask, "/users/1")
    return JSONResponse({"id": 1}, 201)


async def user(request):
    return JSONResponse({"id": 1, "name": "Ada", "password": "x"})


def load():
    time.sleep(0.2)


async def report(request):
    load()
    return JSONResponse({})


async def broken(request):
    return JSONResponse({}["total"])


app = Starlette(
    routes=[
        Route("/orders", order, methods=["POST"]),
        Route("/users/{id}", user),
        Route("/report", report),
        Route("/broken", broken),
    ]
)
"""


class Screen:
    """A command in a terminal with so many columns, and what it has printed."""

    def __init__(self, columns: int, folder: Path, *words: str) -> None:
        here, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        env = {**ENVIRONMENT, "TERM": "xterm"}
        self._process = subprocess.Popen([MESH, *words], cwd=folder, env=env, stdin=there, stdout=there, stderr=there)
        os.close(there)
        self._text = b""
        self._here = here
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while part := os.read(self._here, 65536):
                self._text += part
        except OSError:
            pass  # The other side is closed.

    def text(self) -> str:
        shown = self._text.decode(errors="replace").replace("\r\n", "\n")
        return re.sub(r"token=\w+", "token=...", _COLOUR.sub("", shown))

    def wait_for(self, part: str) -> None:
        while part not in self.text():
            if self._process.poll() is not None:
                raise RuntimeError(f"mesh ended: {self.text()}")
            time.sleep(0.02)

    def end(self) -> str:
        """Return all of it once the command has ended."""
        self._process.wait(60)
        self._reader.join(5)
        os.close(self._here)
        return self.text().strip("\r\n")

    def interrupt(self) -> None:
        self._process.send_signal(2)


def project(folder: Path) -> int:
    """Write the twenty services; return the port of the first."""
    base = free_row(20)
    names = ["gateway", LONG, "order-service", *(f"service-{number}" for number in range(17))]
    lines = []
    for number, name in enumerate(names):
        following = base + (number + 1) % len(names)
        lines.append(
            f'[services.{name}]\nhttp = {{ port = {base + number}, app = "app:app" }}\nenv = {{ NEXT = {following} }}\n'
        )
    (folder / "mesh.toml").write_text("\n".join(lines))
    (folder / "app.py").write_text(_APP)
    return base


def captures(columns: int) -> list[str]:
    """Return Markdown with what four commands show in a terminal of this width."""
    with tempfile.TemporaryDirectory(prefix="shop-") as name:
        folder = Path(name)
        base = project(folder)
        up = Screen(columns, folder, "up")
        up.wait_for("service-16")
        with requests.Session() as session:
            session.trust_env = False
            for port, method, path in (
                (base, "POST", "/orders"),
                (base + 1, "GET", "/report"),
                (base + 2, "GET", "/broken"),
                (base + 1, "POST", "/orders"),
            ):
                session.request(method, f"http://127.0.0.1:{port}{path}?token=abc", timeout=60)
        up.wait_for("KeyError")
        listed = Screen(columns, folder, "traces").end()
        trace = next(line.split()[1] for line in listed.splitlines() if "gateway" in line)
        shown = {
            "mesh trace ID -v": Screen(columns, folder, "trace", trace, "-v").end(),
            "mesh traces": listed,
            "mesh logs": Screen(columns, folder, "logs", "--tail", "8").end(),
            "mesh top": Screen(columns, folder, "top").end(),
        }
        up.interrupt()
        shown = {"mesh up": up.end(), **shown}
        shown = {
            command: text.replace(str(folder), "shop").replace(folder.name, "shop") for command, text in shown.items()
        }
    found = [f"## {columns} columns", ""]
    for command, text in shown.items():
        found += [f"`{command}`:", "", "```text", *(line.rstrip() for line in text.split("\n")), "```", ""]
    return found


def main() -> None:
    page = Path(sys.argv[1])
    before, _, rest = page.read_text().partition(BEGIN)
    found = [*captures(80), *captures(120)]
    page.write_text("\n".join([before + BEGIN, "", *found]) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
