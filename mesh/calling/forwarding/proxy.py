"""An ASGI application that forwards each request to another service over HTTP, and streams the response back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mesh.calling.forwarding.forwarder import FORWARDED, Forwarder, ascii_text
from mesh.service import current_service

if TYPE_CHECKING:
    from starlette.types import ASGIApp

#: Seconds a request may take if its caller set no deadline.
PROXY_TIMEOUT = 30.0

_COOKIE_PATH = re.compile(rb"(;\s*path\s*=\s*)(/[^;]*)", re.IGNORECASE)


def proxy(service: str, *, strip: str = "") -> ASGIApp:
    """Return an ASGI application, for Starlette's Route or Mount or on its own; WebSockets are forwarded too.

    service: the name of the service. strip: the start of the path that the service does not have, `/api` for
        `/api/users` here and `/users` there. The rest of the path and the query are forwarded byte for byte.
    """
    return Proxy(service, strip.encode())


class Proxy(Forwarder):
    """See `proxy`. A service that cannot be reached is 503, one that does not answer in time is 504."""

    seconds = PROXY_TIMEOUT
    replaced = frozenset({b"host"}) | FORWARDED

    def __init__(self, service: str, strip: bytes) -> None:
        super().__init__(service)
        self.strip = strip

    def origin(self) -> str:
        return current_service().directory.origin(self.service)

    def target(self, path: bytes) -> bytes:
        return path.removeprefix(self.strip)

    def outer(self, name: bytes, value: bytes, inner: bytes) -> bytes:
        """Map a Location on the service, and the Path of a cookie, to below the path it is reached by here."""
        if name in (b"location", b"content-location"):
            path = value.removeprefix(inner)
            return self.strip + path if path[:1] == b"/" and path[:2] != b"//" else value
        if name == b"set-cookie" and self.strip:
            return _COOKIE_PATH.sub(lambda found: found[1] + self.strip + found[2].rstrip(b"/"), value)
        return value

    def added(self, scope: Any) -> dict[str, str]:
        """Tell the service who called, and by which URL, as other reverse proxies do; it may make links of that."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        client = scope["client"][0] if scope.get("client") else ""
        return {
            "x-forwarded-for": headers.get(b"x-forwarded-for") or client,
            "x-forwarded-host": headers.get(b"x-forwarded-host") or headers.get(b"host", ""),
            "x-forwarded-proto": headers.get(b"x-forwarded-proto") or _SCHEMES.get(scope["scheme"], scope["scheme"]),
            "x-forwarded-prefix": headers.get(b"x-forwarded-prefix", "") + ascii_text(self.strip),
        }


#: A WebSocket is told by the scheme that its handshake has.
_SCHEMES = {"ws": "http", "wss": "https"}
