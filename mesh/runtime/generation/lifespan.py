"""The ASGI lifespan of one generation of an application: started once, ended once."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.compat.starlette import has_shutdown, has_startup
from mesh.errors import MeshError


class LifespanError(MeshError):
    """Raised if the application reports that its start-up or shutdown failed; its own exception is the cause."""


class Lifespan:
    """Runs `app`'s lifespan in a task. An application without one counts as one with nothing to do.

    application: as the service's code made it; `app` may be wrapped.
    """

    def __init__(self, app: ASGIApp, application: Any = None) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._application = application
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def may_open(self) -> bool:
        """Return False if the application does nothing at its start-up."""
        return has_startup(self._application)

    def may_close(self) -> bool:
        """Return False if the application does nothing at its shutdown."""
        if self._task is None or self._task.done():
            return False
        return has_shutdown(self._application)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the application with the state that its lifespan filled added to its requests."""

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            if self.state:
                scope["state"] = self.state.copy()
            await app(scope, receive, send)

        return with_state

    async def startup(self) -> None:
        """Run the start-up; raises LifespanError if the application refuses to start."""
        self._task = asyncio.create_task(self._run())
        try:
            answer = await self._ask("lifespan.startup")
        except asyncio.CancelledError:
            self._task.cancel()  # Nothing waits for it any more.
            await asyncio.wait({self._task}, timeout=1)
            raise
        if answer["type"] == "lifespan.startup.failed":
            raise LifespanError(str(answer.get("message") or "start-up failed")) from self._cause()

    async def shutdown(self) -> None:
        """Run the shutdown; raises LifespanError if the application reports that it failed."""
        if self._task is None or self._task.done():
            return
        answer = await self._ask("lifespan.shutdown")
        if answer["type"] == "lifespan.shutdown.failed":
            raise LifespanError(str(answer.get("message") or "shutdown failed")) from self._cause()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        await self._app(scope, self._events.get, self._answers.put)

    async def _ask(self, event: str) -> Message:
        """Return the application's answer; an application that ends without one does not support lifespans."""
        assert self._task is not None
        await self._events.put({"type": event})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done() and answer.result()["type"].startswith("lifespan."):
            if answer.result()["type"].endswith(".failed"):
                await asyncio.wait({self._task}, timeout=1)
            return answer.result()
        answer.cancel()
        # One without lifespan support may answer as if this were a request, and may say so by raising.
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=1)
        if self._task.done() and not self._task.cancelled():
            self._task.exception()  # retrieved
        return {"type": f"{event}.complete"}

    def _cause(self) -> BaseException | None:
        return self._task.exception() if self._task is not None and self._task.done() else None
