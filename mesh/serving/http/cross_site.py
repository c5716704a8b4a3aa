"""Protects services that listen on loopback from pages of other sites in the developer's browser.

Such a page can send a simple request (a form's POST) to any port of this machine, and read the answers too if its
own name is made to resolve to 127.0.0.1 (DNS rebinding). The Origin header reveals the first, Host the second.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Scope

from mesh.errors import Code, StatusError
from mesh.observing.journal import Line
from mesh.service import ServiceContext
from mesh.topology.model import Address, Http

#: Methods that change nothing; the browser itself hides their answers from other origins.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Values of Host that are remembered as allowed, and refusals that are reported.
_REMEMBERED = 64


def is_loopback(host: str) -> bool:
    """Return True if the host is `localhost`, a name below it, or an address of the loopback interface."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class CrossSiteGuard:
    """Decides about each request to one listener. hosts, origins: see Http."""

    def __init__(self, service: str, http: Http) -> None:
        aliases = (Address.parse(alias).host.lower() for alias in http.aliases)
        self._service = service
        self._names = frozenset((service, *aliases))
        self._hosts = tuple(host.lower() for host in http.hosts)
        self._origins = frozenset(origin.lower() for origin in http.origins)
        self._good_hosts: set[bytes] = set()
        self._said: set[str] = set()

    async def refusal(self, app: ASGIApp, service: ServiceContext, scope: Scope) -> StatusError | None:
        """Return PERMISSION_DENIED for a request that a page of another site may have sent; logged once."""
        text = await self._problem(app, scope)
        if text is None:
            return None
        if text not in self._said and len(self._said) < _REMEMBERED:
            self._said.add(text)
            service.journal.append(Line(service.name, f"refused {text}", "mesh"))
        return StatusError(Code.PERMISSION_DENIED, f"refused {text}")

    async def _problem(self, app: ASGIApp, scope: Scope) -> str | None:
        host = b""
        origins = []
        is_traced = False
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origins.append(value)
            elif name == b"traceparent":
                is_traced = True
        # HTTP/1.0 may leave Host out; no browser does.
        if host and host not in self._good_hosts:
            if not self._is_good_host(_name_of(host)):
                return self._advice(scope, "with the Host", _name_of(host), "hosts")
            if len(self._good_hosts) < _REMEMBERED:
                self._good_hosts.add(host)
        # A page can add a header of this name only after the application has allowed it in a preflight; requests of
        # other services, which pass on their own caller's Origin, have it.
        if not origins or is_traced or scope.get("method") in _SAFE:
            return None
        for origin in origins:
            if not self._is_good_origin(origin, host) and not await _is_allowed_by_cors(app, scope, origin):
                return self._advice(scope, "from the origin", origin.decode("latin-1"), "origins")
        return None

    def _is_good_host(self, name: str) -> bool:
        if is_loopback(name) or name in self._names or name in ("0.0.0.0", "::"):
            return True
        return any(host in ("*", name) or (host[0] == "." and f".{name}".endswith(host)) for host in self._hosts)

    def _is_good_origin(self, origin: bytes, host: bytes) -> bool:
        text = origin.decode("latin-1").lower()
        if text in self._origins or "*" in self._origins:
            return True
        try:
            parts = urlsplit(text)
            return parts.scheme in ("http", "https") and (
                is_loopback(parts.hostname or "") or parts.netloc == host.decode("latin-1").lower()
            )
        except ValueError:  # brackets that do not belong to an IPv6 address
            return False

    def _advice(self, scope: Scope, what: str, value: str, key: str) -> str:
        shown = json.dumps(value[:100])
        return (
            f"{scope.get('method', 'a WebSocket')} {what} {shown}, which may be a page of another site; "
            f"to allow it, write {key} = [{shown}] under services.{self._service}.http"
        )


def _name_of(host: bytes) -> str:
    """Return the host of a Host header, without its port."""
    text = host.decode("latin-1").lower()
    return text[1:].partition("]")[0] if text[:1] == "[" else text.partition(":")[0].rstrip(".")


async def _is_allowed_by_cors(app: ASGIApp, scope: Scope, origin: bytes) -> bool:
    """Ask the application as a browser does before a request that is not simple: by a preflight."""
    if scope["type"] != "http":
        return False  # CORS does not cover WebSockets.
    headers = [each for each in scope["headers"] if each[0] in (b"host", b"cookie")]
    headers += [(b"origin", origin), (b"access-control-request-method", scope["method"].encode())]
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
    answered = asyncio.Event()
    allowed = False

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal allowed
        if message["type"] == "http.response.start" and 200 <= message["status"] < 300:
            found = {name.lower(): value for name, value in message.get("headers", ())}
            allowed = found.get(b"access-control-allow-origin") in (origin, b"*")
        elif not message.get("more_body", False):
            answered.set()

    try:
        await app({**scope, "method": "OPTIONS", "headers": headers}, receive, send)
    except Exception:
        return False
    return allowed
