"""Forwards a WebSocket: messages, close codes and subprotocols, both ways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import ClientSession, ClientWebSocketResponse
    from yarl import URL

#: The handshake's own: the connection to the server has another one.
_HANDSHAKE = frozenset({
    "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-protocol",
})  # fmt: skip
#: Close codes that stand for "none" and "the connection broke"; they cannot be sent (RFC 6455, 7.4.1).
_NO_CODE, _BROKEN = 1005, 1006
_NORMAL, _GOING_AWAY, _INTERNAL_ERROR = 1000, 1001, 1011


async def forward_websocket(
    session: ClientSession, url: URL, headers: list[tuple[str, str]], scope: Any, receive: Any, send: Any
) -> None:
    """Open a WebSocket at the URL and connect both until one of them ends; a refused handshake is passed on."""
    import aiohttp  # imported late, as in connections.py

    await receive()  # "websocket.connect"
    try:
        upstream = await session.ws_connect(
            url,
            headers=[(name, value) for name, value in headers if name not in _HANDSHAKE],
            protocols=scope.get("subprotocols", ()),
            max_msg_size=0,
            ssl=False,  # as for requests
        )
    except aiohttp.WSServerHandshakeError as refused:
        await _refuse(scope, send, refused.status)
        return
    except aiohttp.ClientError:
        await _refuse(scope, send, 503)
        return
    async with upstream:
        await send({"type": "websocket.accept", "subprotocol": upstream.protocol})
        to_server = asyncio.ensure_future(_to_server(upstream, receive))
        to_client = asyncio.ensure_future(_to_client(upstream, send))
        try:
            await asyncio.wait((to_server, to_client), return_when=asyncio.FIRST_COMPLETED)
        finally:
            client_left = to_server.done()
            to_client.cancel()
            to_server.cancel()
            ended, _ = await asyncio.gather(to_server, to_client, return_exceptions=True)
        if client_left and isinstance(ended, dict):
            await _leave(upstream, ended)


async def _refuse(scope: Any, send: Any, status: int) -> None:
    if "websocket.http.response" in scope.get("extensions", {}):
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": _GOING_AWAY})


async def _to_server(upstream: ClientWebSocketResponse, receive: Any) -> dict[str, Any]:
    """Pass on what the client sends; return how it left."""
    while (message := await receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await upstream.send_str(text)
        else:
            await upstream.send_bytes(message["bytes"])
    left: dict[str, Any] = message
    return left


async def _leave(upstream: ClientWebSocketResponse, message: dict[str, Any]) -> None:
    """Close the WebSocket of the server as the client has closed its own."""
    code = message.get("code", _NO_CODE)
    sent = {_NO_CODE: _NORMAL, _BROKEN: _GOING_AWAY}.get(code, code)
    await upstream.close(code=sent, message=(message.get("reason") or "").encode())


async def _to_client(upstream: ClientWebSocketResponse, send: Any) -> None:
    """Pass on what the server sends, and its close."""
    import aiohttp

    reason = ""
    while (message := await upstream.receive()).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
        key = "text" if message.type is aiohttp.WSMsgType.TEXT else "bytes"
        await send({"type": "websocket.send", key: message.data})
    if message.type is aiohttp.WSMsgType.CLOSE:
        reason = message.extra or ""
    code = upstream.close_code
    sent = _INTERNAL_ERROR if code in (None, _BROKEN) else _NORMAL if code == _NO_CODE else code
    await send({"type": "websocket.close", "code": sent, "reason": reason})
