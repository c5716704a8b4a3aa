"""The two pages that describe a contract: its OpenAPI document, and a page to try its calls."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mesh.contract.http_rules.router import NotAllowed
from mesh.contract.methods import Contract
from mesh.contract.rest.exchange import Response
from mesh.contract.rest.transcoding import JSON, write_json

DOCUMENT = "/openapi.json"
PAGE = "/docs"
PAGES = (DOCUMENT, PAGE)

_ALLOW = ("GET", "HEAD", "OPTIONS")
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class Documentation:
    """The pages of one contract, generated on request."""

    def __init__(self, contract: Contract, descriptors: bytes, *, closed: bool) -> None:
        self._contract = contract
        self._descriptors = descriptors
        self._closed = closed

    def answer(self, method: str, path: str, mount: str) -> Response:
        """Return the page; raises NotAllowed for a method that does not read."""
        if method == "OPTIONS":
            return Response(204, [(b"allow", ", ".join(_ALLOW).encode())])
        if method not in _ALLOW:
            raise NotAllowed(method, path, _ALLOW)
        return page() if path == PAGE else document_response(self.document(mount))

    def document(self, mount: str) -> dict[str, Any]:
        """Return the OpenAPI document of the contract at that path."""
        from mesh.contract.rest.openapi import openapi  # rarely requested; not needed otherwise

        return openapi(self._contract, url=mount, comments=self._comments, closed=self._closed)

    @cached_property
    def _comments(self) -> Mapping[str, str]:
        from mesh.contract.rest.comments import comments_of

        return comments_of(self._descriptors)


def document_response(document: Mapping[str, Any]) -> Response:
    return Response(200, [(b"content-type", JSON.encode())], write_json(document).encode())


def page() -> Response:
    """Return the page to try the calls of the `openapi.json` beside it."""
    text = Path(__file__).with_name("docs.html").read_text("utf-8")
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", _policy(text).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]
    return Response(200, headers, text.encode())


def _policy(page: str) -> str:
    """Return a policy that lets the page run its script and style, and connect to its origin only."""
    hashes = {
        kind: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for kind, text in _INLINE.findall(page)
    }
    return (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
