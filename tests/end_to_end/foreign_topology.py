"""The services of foreign/, under mesh and each alone: as processes, from a copy of the folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import requests

from mesh.contract.protoc import compile_protos
from tests.support.ports import free_row
from tests.support.processes import MESH, READY_WITHIN

SOURCE = Path(__file__).parent / "foreign"
#: These two keep generated code in their repositories; the others leave it to mesh.
COMPILED = ("accounts", "stock")
GRPC = {"accounts": "/shop.Accounts/About", "stock": "/shop.Stock/About"}

Event = dict[str, Any]


def copy_to(folder: Path) -> Path:
    """Return a project of its own in `folder`, with the generated code that its teams have committed."""
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in COMPILED:
        compile_protos(folder / name / "proto", folder / name)
    return folder


def session() -> requests.Session:
    """Return one that asks this machine, whatever proxy the environment names."""
    made = requests.Session()
    made.trust_env = False
    return made


def variables(folder: Path) -> dict[str, str]:
    """Return the tests' environment less what pytest and other meshes left in it, with nothing of GREETING."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MESH_"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "PYTHONUNBUFFERED": "1"}


@dataclass
class Foreign:
    """`mesh up --free-ports --json` in the folder, and every event that it wrote."""

    folder: Path
    options: tuple[str, ...] = ()
    events: list[Event] = field(default_factory=list)

    def start(self) -> Foreign:
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [MESH, "up", "--free-ports", "--json", *self.options],
            cwd=self.folder,
            env=variables(self.folder),
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.ready = self.wait_for(lambda event: event["event"] == "ready")
        for each in self.ready["services"]:
            if each["state"] == "failed":
                self._wait_for_late_start(each)
        self._session = session()
        return self

    def _wait_for_late_start(self, service: dict[str, Any]) -> None:
        """mesh waits for 10 s; on a loaded machine imports take longer, and the services come afterwards."""
        assert service["reason"] == "has not started within 10 s", service
        self.wait_for(
            lambda event: (
                event["event"] == "change" and event["service"] == service["name"] and event["state"] == "ready"
            )
        )
        service["state"] = "ready"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.events.append(json.loads(line))
                self._news.notify_all()

    def wait_for(self, wanted: Callable[[Event], bool], since: int = 0) -> Event:
        """Return the first such event, as soon as it is there."""
        with self._news:
            found = self._news.wait_for(
                lambda: next((each for each in self.events[since:] if wanted(each)), None), READY_WITHIN
            )
        assert found, self.events[since:]
        return dict(found)

    def line(self, service: str, text: str, since: int = 0) -> Event:
        """Return the first line with that text of the service."""
        return self.wait_for(
            lambda event: event["event"] == "line" and event["service"] == service and text in event["text"], since
        )

    def lines(self) -> list[tuple[str, str]]:
        """Return every line so far, with its service."""
        return [(event["service"], event["text"]) for event in list(self.events) if event["event"] == "line"]

    def state(self, service: str) -> dict[str, Any]:
        return next(dict(each) for each in self.ready["services"] if each["name"] == service)

    def url(self, service: str, path: str = "") -> str:
        return f"{self.state(service)['http'][0]}{path}"

    def get(self, service: str, path: str) -> requests.Response:
        return self._session.get(self.url(service, path), timeout=30)

    def json(self, service: str, path: str) -> Any:
        answer = self.get(service, path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def channel(self, service: str) -> grpc.Channel:
        return grpc.insecure_channel(self.state(service)["grpc"], [("grpc.enable_http_proxy", 0)])

    def about(self, service: str) -> Any:
        """Return what the service says of itself."""
        if service in GRPC:
            return about_over_grpc(self.state(service)["grpc"], GRPC[service])
        answer = self.get(service, "/about")
        return answer.text if service == "worker" else answer.json()

    def end(self) -> int:
        """Ctrl-C; the exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(READY_WITHIN)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._session.close()
        return status


def about_over_grpc(target: str, method: str) -> Any:
    from google.protobuf import empty_pb2, json_format, struct_pb2

    with grpc.insecure_channel(target, [("grpc.enable_http_proxy", 0)]) as channel:
        about = channel.unary_unary(
            method,
            request_serializer=empty_pb2.Empty.SerializeToString,
            response_deserializer=struct_pb2.Struct.FromString,
        )
        return json_format.MessageToDict(about(empty_pb2.Empty(), timeout=READY_WITHIN, wait_for_ready=True))


def about_alone(folder: Path, service: str, stubs: Path) -> Any:
    """Return what the service says of itself when it is run as its README would say: `python app.py`."""
    port = free_row(1)
    mine = {"GREETING": f"hello from {service}", "PORT": str(port)} | ({"WHO": "users"} if service == "users" else {})
    if (folder / service / "proto").is_dir() and service not in COMPILED:
        compile_protos(folder / service / "proto", stubs)
        mine["PYTHONPATH"] = str(stubs)
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=folder / service,
        env=variables(folder) | mine,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    watchdog = threading.Timer(READY_WITHIN, process.kill)
    watchdog.start()
    try:
        if service in GRPC:
            return about_over_grpc(f"127.0.0.1:{port}", GRPC[service])
        text = _patient_get(f"http://127.0.0.1:{port}/about", process)
        return text if service == "worker" else json.loads(text)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


def _patient_get(url: str, process: subprocess.Popen[bytes]) -> str:
    """Return the answer, as soon as there is somebody who gives one."""
    with session() as asking:
        while process.poll() is None:
            try:
                return str(asking.get(url, timeout=10).text)
            except requests.ConnectionError:
                continue
    raise AssertionError(f"it ended with {process.returncode} before it answered")
