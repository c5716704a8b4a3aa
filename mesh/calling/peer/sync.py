"""The methods of a service for plain code: each call blocks until its answer."""

from __future__ import annotations

import asyncio
from typing import Any

from mesh.calling.peer.peer import AsyncPeer, PreparedCall
from mesh.calling.peer.stream import SyncStream
from mesh.contract import Reply
from mesh.errors import UsageError


class BlockingPeer:
    """`peer.GetUser(id=1)` returns the answer's message; streaming methods take and return iterators of messages.

    Calls are made in a separate loop, so that neither threads nor loops share channels.
    """

    def __init__(self, peer: AsyncPeer) -> None:
        self._peer = peer

    def __getattr__(self, name: str) -> BlockingMethod:
        if name.startswith("_"):
            raise AttributeError(name)
        return BlockingMethod(self._peer, name)


class BlockingMethod:
    """One method of a peer."""

    def __init__(self, peer: AsyncPeer, name: str) -> None:
        self._peer = peer
        self._name = name

    def __call__(self, request: Any = None, /, **given: Any) -> Any:
        """Return the answer, or an iterator of the answers."""
        prepared = self._prepare(request, given)
        background = prepared.connections.background()
        if prepared.call.method.server_streaming:
            return SyncStream(prepared.frames(background.connections, None), background.wait_for)
        return background.wait_for(prepared.reply(background.connections, None)).message

    def with_reply(self, request: Any = None, /, **given: Any) -> Reply:
        """Return the answer with its initial and trailing metadata."""
        prepared = self._prepare(request, given)
        background = prepared.connections.background()
        return background.wait_for(prepared.reply(background.connections, None))

    def _prepare(self, request: Any, given: dict[str, Any]) -> PreparedCall:
        prepared = self._peer.prepare(self._name, request, given)
        if _in_a_loop():
            raise UsageError(
                f"{prepared.call.service}: .sync.{self._name}() would block the event loop that runs here; "
                f"await {self._name}() of the peer itself"
            )
        return prepared


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
