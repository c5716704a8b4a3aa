"""An answer goes out in one piece, and a stream's pieces as they come."""

from __future__ import annotations

import asyncio

import pytest

from mesh.serving.http.coalescing_transport import CoalescingTransport


class Wire:
    """A transport that notes what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self.pause_reading = self.resume_reading = lambda: None
        self.get_extra_info = {"peername": ("a", 1)}.get

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.mark.parametrize(("writes", "sent"), [
    ([b"head", b"body"], [b"headbody"]),
    ([b"head"], [b"head"]),
    ([b"head", b""], [b"head"]),
    ([b"head", b"a", b"b", b"c"], [b"heada", b"bc"]),
    ([b"head", b"x" * 65536], [b"head", b"x" * 65536]),
    ([b"x" * 65536], [b"x" * 65536]),
    ([], []),
])  # fmt: skip
def test_what_is_written_in_one_turn_goes_out_together_and_in_order(writes: list[bytes], sent: list[bytes]) -> None:
    async def answer() -> list[bytes]:
        wire = Wire()
        transport = CoalescingTransport(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
        for each in writes:
            transport.write(each)
        await asyncio.sleep(0)
        return wire.sent

    result = asyncio.run(answer())
    assert b"".join(result) == b"".join(sent)
    assert [each for each in result if each] == sent


def test_nothing_waits_beyond_the_turn_of_the_loop() -> None:
    async def stream() -> list[list[bytes]]:
        wire = Wire()
        transport = CoalescingTransport(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
        seen = []
        for each in (b"head", b"1", b"2"):
            transport.write(each)
            await asyncio.sleep(0)
            seen.append(list(wire.sent))
        return seen

    assert asyncio.run(stream()) == [[b"head"], [b"head", b"1"], [b"head", b"1", b"2"]]


def test_what_is_held_goes_out_before_the_end_and_nothing_after_it() -> None:
    async def end() -> tuple[list[bytes], bool]:
        wire = Wire()
        transport = CoalescingTransport(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
        transport.write(b"last words")
        transport.close()
        transport.write(b"too late")
        await asyncio.sleep(0)
        return wire.sent, transport.is_closing()

    assert asyncio.run(end()) == ([b"last words"], True)
