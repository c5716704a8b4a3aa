"""Who may steer a mesh: whoever names this host, comes from no foreign page, sends JSON and carries the token."""

from __future__ import annotations

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from mesh.contract.rest.exchange import error_response, send_answer
from mesh.errors import Code, StatusError


class Guard:
    """Stands before every route and method. hosts: the values of the Host header by which the app may be reached."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = hosts
        self._origins = frozenset(f"http://{host}" for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check(headers)
        except StatusError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})  # before it is accepted: the upgrade is refused with 403
            else:
                await send_answer(error_response(error), send)
            return
        await self._app(scope, receive, send)

    def _check(self, headers: dict[str, str]) -> None:
        # The Host is checked against DNS rebinding: a foreign name that resolves to this machine.
        if headers.get("host") not in self._hosts:
            raise StatusError(Code.PERMISSION_DENIED, "this address is not known by that Host")
        if headers.get("origin", next(iter(self._origins))) not in self._origins:
            raise StatusError(Code.PERMISSION_DENIED, "requests from another origin are refused")
        given = headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
        if not hmac.compare_digest(given, self._token):
            raise StatusError(Code.UNAUTHENTICATED, "send the token of .mesh/run/*.json as `Authorization: Bearer`")
        # A page may send any other type to any site without asking first.
        kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise StatusError(Code.INVALID_ARGUMENT, f"send application/json, not {kind}", http_status=415)
