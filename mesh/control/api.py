"""The control API: inspects and controls a supervisor, for clients that have the token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from mesh.control.events import MAX_ENTRIES, page, stream
from mesh.control.guard import Guard
from mesh.control.metrics import CallMetrics
from mesh.control.page import page_of
from mesh.errors import Code, StatusError
from mesh.observing.recorder import Recorder
from mesh.observing.secrets import Secrets
from mesh.runtime.messages import ServiceCommand, ServiceState, Snapshot, Stop
from mesh.runtime.supervisor import Supervisor
from mesh.serving.http.exception_handlers import exception_handlers


def control_app(supervisor: Supervisor, recorder: Recorder | None, token: str, hosts: frozenset[str]) -> ASGIApp:
    """Return the API behind its guard. hosts: the accepted values of the Host header."""
    routes = [*_Control(supervisor, recorder).routes(), *_Recorded(supervisor, recorder).routes()]
    return Guard(Starlette(routes=routes, exception_handlers=exception_handlers), token, hosts)


class _Control:
    """The endpoints that show the state of the mesh and change it."""

    def __init__(self, supervisor: Supervisor, recorder: Recorder | None) -> None:
        self._supervisor = supervisor
        self._recorder = recorder

    def routes(self) -> list[Route]:
        return [
            Route("/", self.root),
            Route("/api/state", self.state),
            Route("/api/stop", self.stop, methods=["POST"]),
            Route("/api/flush", self.flush, methods=["POST"]),
            Route("/api/services/{name}/{what}", self.control, methods=["POST"]),
        ]

    async def root(self, request: Request) -> Response:
        return HTMLResponse(page_of(self._supervisor.snapshot))

    async def state(self, request: Request) -> Response:
        return JSONResponse(as_json(self._supervisor.snapshot))

    async def stop(self, request: Request) -> Response:
        self._supervisor.post(Stop("mesh down", 0))
        return JSONResponse({}, 202)

    async def flush(self, request: Request) -> Response:
        if self._recorder is not None:
            await run_in_threadpool(self._recorder.flush)
        return JSONResponse({})

    async def control(self, request: Request) -> Response:
        name, what = request.path_params["name"], request.path_params["what"]
        if name not in {each.name for each in self._supervisor.snapshot.services}:
            raise StatusError(Code.NOT_FOUND, f"no service of this mesh is named {name!r}")
        if what not in ("start", "stop", "restart"):
            raise StatusError(Code.NOT_FOUND, f"{what!r} is not one of start, stop and restart")
        self._supervisor.post(ServiceCommand(name, what))
        return JSONResponse({}, 202)


class _Recorded:
    """The endpoints that show what was recorded, and metrics of the calls."""

    def __init__(self, supervisor: Supervisor, recorder: Recorder | None) -> None:
        self._supervisor = supervisor
        self._recorder = recorder
        self._metrics = CallMetrics(supervisor.journal)

    def routes(self) -> list[Route]:
        return [
            Route("/api/entries", self.entries),
            Route("/api/events", self.events),
            Route("/metrics", self.prometheus),
        ]

    async def entries(self, request: Request) -> Response:
        limit = min(_number(request, "limit", MAX_ENTRIES), MAX_ENTRIES)
        body = await run_in_threadpool(page, self._file(), self._secrets(), _number(request, "after", 0), limit)
        return Response(body, media_type="application/json")

    async def events(self, request: Request) -> Response:
        given = request.headers.get("last-event-id", "")
        after = int(given) if given.isdecimal() else _number(request, "after", 0)
        return StreamingResponse(stream(self._file(), self._secrets(), after), media_type="text/event-stream")

    async def prometheus(self, request: Request) -> Response:
        return Response(self._metrics.text(self._supervisor.snapshot), media_type="text/plain; version=0.0.4")

    def _file(self) -> Path:
        if self._recorder is None:
            raise StatusError(Code.FAILED_PRECONDITION, "this mesh records nothing: it was started with --no-record")
        return self._recorder.file

    def _secrets(self) -> Secrets:
        return Secrets(self._supervisor.topology.secrets)


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name, str(default))
    if not (given.isascii() and given.isdecimal()):
        raise StatusError(Code.INVALID_ARGUMENT, f"{name}={given} is not a number")
    return min(int(given), 2**63 - 1)


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return the snapshot as `mesh ps --json` prints it."""
    return {
        "topology": snapshot.topology,
        "phase": snapshot.phase,
        "services": [_service(each) for each in snapshot.services],
    }


def _service(state: ServiceState) -> dict[str, Any]:
    return {
        "name": state.name,
        "state": state.state,
        "http": state.urls,
        "grpc": str(state.grpc) if state.grpc else None,
        "tcp": [str(address) for address in state.tcp],
        "tls": sorted(state.tls),
        "reason": state.reason,
        "generation": state.generation,
    }
