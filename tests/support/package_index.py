"""A package index that tells when each file was uploaded, as PEP 700 has it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def package_index(wheels: Path, uploaded: Mapping[str, str]) -> Iterator[str]:
    """Serve the wheels of a folder; yield the URL. uploaded: the day of each, by the start of its file's name."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            project = re.fullmatch(r"/simple/([^/]+)/", self.path)
            if project is None:
                super().do_GET()
                return
            body = json.dumps(_project(project[1], wheels, uploaded)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *message: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(wheels))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/simple"
        finally:
            server.shutdown()
            thread.join()


def _project(name: str, wheels: Path, uploaded: Mapping[str, str]) -> dict[str, object]:
    days = {start: day for start, day in uploaded.items() if start.startswith(f"{name}-")}
    files = [
        {"filename": file.name, "url": f"../../{file.name}", "hashes": {}, "upload-time": f"{day}T12:00:00Z"}
        for start, day in days.items()
        for file in sorted(wheels.glob(f"{start}-*.whl"))
    ]
    return {"meta": {"api-version": "1.1"}, "name": name, "files": files}
