"""Accepts requests to the control API that name this host, come from no other site, are JSON and have the token."""

from __future__ import annotations

import hmac

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.contract.rest.exchange import Response, error_response, send_answer
from mesh.control.page import STRANGERS_PAGE, page_token
from mesh.errors import Code, StatusError

#: Headers that decide about a request, and so may occur once: programs differ in which of two they read.
_DECISIVE = ("host", "origin", "authorization", "content-type")
#: Sent with every response unless the application sets another value: no script, no framing, no caching.
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
}


class Guard:
    """Checks requests before every route and method. hosts: the accepted values of the Host header."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str]) -> None:
        self._app = app
        self._authorization = f"Bearer {token}".encode()
        self._page_query = f"token={page_token(token)}".encode()
        self._hosts = hosts
        self._origins = frozenset(f"http://{host}" for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                found = dict(headers)
                message["headers"] = headers + [each for each in _HEADERS.items() if each[0] not in found]
            await send(message)

        try:
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
            self._check(headers, self._is_page(scope))
        except StatusError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})  # before it is accepted: the upgrade is refused with 403
            else:
                await send_answer(_refusal(error, scope), hardened)
            return
        await self._app(scope, receive, hardened)

    def _is_page(self, scope: Scope) -> bool:
        """Return whether this is the page behind the link, which needs no other token."""
        is_read = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] == "/"
        return is_read and hmac.compare_digest(scope["query_string"], self._page_query)

    def _check(self, sent: list[tuple[str, str]], is_page: bool) -> None:
        headers = dict(sent)
        for name in _DECISIVE:
            if sum(each == name for each, _ in sent) > 1:
                raise StatusError(Code.INVALID_ARGUMENT, f"the header {name} is sent more than once")
        # The check of Host prevents DNS rebinding: a foreign name that resolves to this machine.
        if headers.get("host") not in self._hosts:
            raise StatusError(Code.PERMISSION_DENIED, "this Host header is not accepted here")
        if headers.get("origin", next(iter(self._origins))) not in self._origins:
            raise StatusError(Code.PERMISSION_DENIED, "requests from another origin are refused")
        given = headers.get("authorization", "").encode("latin-1")
        if not is_page and not hmac.compare_digest(given, self._authorization):
            raise StatusError(Code.UNAUTHENTICATED, "send the token of .mesh/run/*.json as `Authorization: Bearer`")
        # A page may send any other type to any site without a preflight request.
        kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise StatusError(Code.INVALID_ARGUMENT, f"send application/json, not {kind}", http_status=415)


def _refusal(error: StatusError, scope: Scope) -> Response:
    """Return the error as JSON, or a page for a browser that has not followed the link."""
    accepts = dict(scope["headers"]).get(b"accept", b"")
    if error.code is Code.UNAUTHENTICATED and scope["path"] == "/" and b"text/html" in accepts:
        return Response(401, [(b"content-type", b"text/html; charset=utf-8")], STRANGERS_PAGE.encode())
    return error_response(error)
