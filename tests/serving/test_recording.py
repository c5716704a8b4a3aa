"""The last safe request of a service is kept with its whole answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from mesh.observing.exchanges import Exchanges
from mesh.service import ServiceContext
from mesh.serving.http.recording import recorded_app

SCOPE = {"type": "http", "method": "GET", "raw_path": b"/users", "query_string": b"", "headers": []}


def kept(*bodies: dict[str, Any]) -> Any:
    """Return what is recorded of an application that sends these body messages."""
    service = ServiceContext("user-service", Path("/"), exchanges=Exchanges())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for body in bodies:
            await send({"type": "http.response.body", **body})

    async def ignored(message: Any) -> None:
        pass

    asyncio.run(recorded_app(app, service)(SCOPE, ignored, ignored))  # type: ignore[arg-type]  # nothing is received
    assert service.exchanges is not None
    return service.exchanges.last.get("user-service")


def test_a_whole_answer_is_kept() -> None:
    assert kept({"body": b"[1", "more_body": True}, {"body": b"]"}).answer == b"[1]"


def test_an_answer_that_breaks_off_is_not_kept() -> None:
    assert kept({"body": b"[1", "more_body": True}) is None
    assert kept() is None
