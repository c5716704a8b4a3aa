"""What a program listens on, as far as its command line and its code show; nothing is executed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from msgspec import Struct

from mesh.topology.drafting.files import files_below

#: The ports at which servers listen that are given none.
_USUAL = {"uvicorn": 8000, "gunicorn": 8000, "hypercorn": 8000, "fastapi": 8000, "flask": 5000, "waitress-serve": 8080}
_OPTION = re.compile(r"(?:^|\s)(?:--port|-p|-b|--bind|--listen)[ =]?\S*?\b(\d{2,5})(?=\s|$)")
_RUNSERVER = re.compile(r"\brunserver\b(?:.*?[\s:](\d{2,5})(?=\s|$))?")
_GRPC = re.compile(rb"\badd_(?:in)?secure_port\s*\(\s*(?:f?[\"'][^\"']*?:(\d{2,5})[\"'])?")
_HTTP = re.compile(
    rb"\b(?:uvicorn\.run|run_simple|run_app|HTTPServer|serve_forever|app\.run|application\.run|waitress\.serve)\s*\("
    rb"|\b(?:make_server|TCPServer|create_server|listen)\s*\("
)
_HTTP_PORT = re.compile(
    rb"\bport\s*=\s*(?:int\()?[^)\n]*?\b(\d{4,5})\b|\.listen\(\s*(\d{4,5})|\.run\(\s*[\"'][\w.:]*[\"']\s*,\s*(\d{4,5})\b"
    rb"|\(\s*\(\s*[\"'][\w.:]*[\"']\s*,\s*(\d{4,5})\s*\)"
)
_ANY_PORT = re.compile(rb"\bport\s*=")
#: The ports of calls that are given none.
_OF_CALLS = {b"uvicorn.run(": 8000, b"app.run(": 5000, b"application.run(": 5000, b"run_app(": 8080}
_NAMED_PORT = re.compile(rb"\bport\s*=\s*[\w.(\[\"']*?\b(\w*port)\b[\"'\])]*[,)]", re.IGNORECASE)
_CONFIGURATION = re.compile(r"(?:^|\s)(?:-c|--config)[ =](?:file:|python:)?(\S+)")
_BIND = re.compile(rb"^bind\s*=\s*\[?\s*[\"'][^\"'\n]*?:(\d{2,5})[\"']", re.MULTILINE)
_PORT_VARIABLE = re.compile(rb"[\"']((?:[A-Z]+_)*PORT)[\"']")
_IMPORTED = re.compile(rb"^\s*(?:from|import)\s+([\w.]+)", re.MULTILINE)
_LARGEST = 500_000


class Listening(Struct, frozen=True):
    """Whether a program has an HTTP or a gRPC server, and at which port, if that is known.

    variables: the environment variables that may name its port.
    """

    http: bool = False
    grpc: bool = False
    http_port: int | None = None
    grpc_port: int | None = None
    variables: frozenset[str] = frozenset()


def listening(line: str, root: Path) -> Listening:
    """Return what a Python program listens on. line: the command line; root: the folder that it runs in."""
    words = line.split()
    program = next((os.path.basename(word) for word in words if os.path.basename(word) in _USUAL), None)
    texts = list(_texts(_main_file(words, root), root))
    grpc = [found for text in texts for found in _GRPC.finditer(text)]
    grpc_port = next((int(found[1]) for found in grpc if found[1]), None)
    if program or "runserver" in line:
        given = _option(line) or (_gunicorn_bind(line, root) if program == "gunicorn" else None)
        variables = frozenset() if given else frozenset({"FLASK_RUN_PORT", "UVICORN_PORT"})
        return Listening(True, bool(grpc), given or _USUAL.get(program or "", 8000), grpc_port, variables)
    variables = frozenset(found.decode() for text in texts for found in _PORT_VARIABLE.findall(text))
    http = [text for text in texts if _HTTP.search(text)]
    ports = [int(found[found.lastindex or 0]) for text in http if (found := _http_port(text))]
    given = _option(line)
    if given and grpc and not http:
        return Listening(False, True, None, given)
    http_port = given or next(iter(ports), None) or _named_port(http, root) or _of_calls(http) if http else None
    return Listening(bool(http), bool(grpc), http_port, grpc_port, variables)


def _http_port(text: bytes) -> re.Match[bytes] | None:
    """Find the port that is named where the server is started, or else the first: clients name theirs, too."""
    server = _HTTP.search(text)
    return _HTTP_PORT.search(text, max(0, server.start() - 1) if server else 0) or _HTTP_PORT.search(text)


def _named_port(texts: Sequence[bytes], root: Path) -> int | None:
    """Return the value of what a server is given as its port by name, if only one number is assigned to that."""
    for name in dict.fromkeys(found[1] for text in texts for found in _NAMED_PORT.finditer(text)):
        assigned = re.compile(rb"^\s*" + name + rb"\s*(?::[^=\n]*)?=[^#\n]*?\b(\d{4,5})\b", re.MULTILINE)
        numbers = {int(found[1]) for file in files_below(root, ".py") for found in assigned.finditer(_text(file))}
        if len(numbers) == 1:
            return numbers.pop()
    return None


def _of_calls(texts: Sequence[bytes]) -> int | None:
    """Return the port at which a server listens that is given none."""
    if any(_ANY_PORT.search(text) for text in texts):
        return None
    return next((port for call, port in _OF_CALLS.items() if any(call in text for text in texts)), None)


def _option(line: str) -> int | None:
    found = _OPTION.search(line) or _RUNSERVER.search(line)
    return int(found[1]) if found and found[1] else None


def _gunicorn_bind(line: str, root: Path) -> int | None:
    """Return the port in gunicorn's configuration file, if it is written there as it is."""
    named = _CONFIGURATION.search(line)
    found = _BIND.search(_text(root / (named[1] if named else "gunicorn.conf.py")))
    return int(found[1]) if found else None


def _main_file(words: Sequence[str], root: Path) -> Path | None:
    """Return the file of the program, if it is one of the project's."""
    for before, word in zip(["", *words], words, strict=False):
        paths = [word] if word.endswith(".py") else []
        if before == "-m":
            stem = word.replace(".", "/")
            paths = [f"{stem}.py", f"{stem}/__main__.py"]
        for path in paths:
            if (root / path).is_file():
                return root / path
    return None


def _texts(main: Path | None, root: Path) -> Iterator[bytes]:
    """Yield the text of the main file, and those of the others only if that one imports some and starts no server."""
    text = _text(main) if main else b""
    yield text
    if _GRPC.search(text) or _HTTP.search(text):
        return
    named = {name.split(b".")[-1].decode() for name in _IMPORTED.findall(text)}
    others = [file for file in files_below(root, ".py") if file != main]
    if main is None or any(_is_named(file, named) for file in others):
        yield from (_text(file) for file in others if _is_named(file, named | {"server", "app", "main"}))


def _is_named(file: Path, names: Set[str]) -> bool:
    return file.stem in names or file.parent.name in names


def _text(file: Path) -> bytes:
    try:
        return file.read_bytes() if file.stat().st_size <= _LARGEST else b""
    except OSError:
        return b""
