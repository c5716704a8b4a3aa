"""A transport that sends the head of an answer together with its body."""

from __future__ import annotations

import asyncio
from typing import Any

#: Bytes from which a piece is sent separately: joining it would cost more than a second write.
MAX_COALESCED_BYTES = 64 * 1024


class CoalescingTransport:
    """Holds written data until more follows, or the loop's iteration ends.

    uvicorn writes head and body separately, and uvloop makes a system call for each, which wakes the other side twice
    (measured, docs/http.md). Everything but write and close is the transport's own.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._call_soon = loop.call_soon
        self._held = b""
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        if self._held or len(data) >= MAX_COALESCED_BYTES:
            held, self._held = self._held, b""
            if len(data) >= MAX_COALESCED_BYTES:
                self._send(held)
                self._send(data)
            else:
                self._send(held + data)
        elif data:
            self._held = bytes(data)
            self._call_soon(self._flush)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._send(held)

    def _send(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
