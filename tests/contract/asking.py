"""Asks an ASGI app without a server: one request, its whole answer; or a conversation, step by step."""

import asyncio
import json
from typing import Any, NamedTuple

from mesh.contract.rest.exchange import BrokenStream


class Answered(NamedTuple):
    """broken: the app had the server close the connection before the end."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def scope_of(method: str, target: str, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    path, _, query = target.partition("?")
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "raw_path": path.encode(), "path": path, "headers": pairs}
    return {**scope, "query_string": query.encode(), "root_path": "", **more}


class Talk:
    """One request while it goes on: `say` parts of its body, `hear` messages of its answer.

    room: how many messages of the answer are taken before one is heard; 0 for any number.
    """

    def __init__(self, app: Any, method: str, target: str, headers: Any = None, *, room: int = 0) -> None:
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue(room)
        scope = scope_of(method, target, headers)
        self.task = asyncio.ensure_future(app(scope, self.said.get, self.heard.put))

    def say(self, body: bytes = b"", more: bool = False) -> None:
        self.said.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self.said.put_nowait({"type": "http.disconnect"})

    async def hear(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.heard.get(), 5)

    async def hear_body(self) -> bytes:
        return bytes((await self.hear())["body"])


async def ask_async(
    app: Any, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None, **more: Any
) -> Answered:
    said = [{"type": "http.request", "body": body, "more_body": False}]
    heard: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not said:
            await asyncio.Event().wait()
        return said.pop(0)

    async def send(message: dict[str, Any]) -> None:
        heard.append(message)

    broken = False
    try:
        await app(scope_of(method, target, headers, **more), receive, send)
    except BrokenStream:
        broken = True
    start, *rest = heard
    assert rest[-1].get("more_body", False) is broken
    found = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Answered(start["status"], found, b"".join(message["body"] for message in rest), broken)


def ask(app: Any, method: str, target: str, body: bytes = b"", headers: Any = None, **more: Any) -> Answered:
    return asyncio.run(ask_async(app, method, target, body, headers, **more))
