"""A server makes room for a new connection by closing idle ones, its own or those of another server in the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from mesh.serving.http import admission as module
from mesh.serving.http.admission import BATCH, Admission


@pytest.fixture(autouse=True)
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process leave servers running."""
    monkeypatch.setattr(module, "_OPEN", [])


@dataclass
class Kept:
    """A connection with or without a request."""

    idle: bool = True
    active_at: float = 0.0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_idle(self) -> bool:
        return self.idle and not self.closed.is_set()

    def close_idle(self) -> None:
        self.closed.set()


@asynccontextmanager
async def server(connections: Sequence[Kept]) -> AsyncIterator[Admission]:
    """The admission of a server with these connections, which refuses from descriptor 100 on."""
    admission = Admission(lambda text: None)
    admission.close_from, admission.refuse_from = 50, 100
    admission.open(lambda: list(connections))
    yield admission
    admission.close()


@pytest.mark.anyio
async def test_while_there_is_room_nothing_is_closed() -> None:
    kept, new = Kept(), Kept()
    async with server([kept, new]) as admission:
        assert admission.admits(new, 49)
    assert not kept.closed.is_set()


@pytest.mark.anyio
async def test_the_connections_that_are_idle_for_longest_are_closed_first() -> None:
    kept = [Kept(active_at=float(age)) for age in range(BATCH + 3)]
    new = Kept(active_at=-1.0)
    async with server([new, *kept]) as admission:
        assert admission.admits(new, 200)
    assert [each.active_at for each in kept if not each.closed.is_set()] == [8.0, 9.0, 10.0]
    assert not new.closed.is_set()


@pytest.mark.anyio
async def test_a_server_whose_connections_are_all_in_use_has_another_close_idle_ones() -> None:
    kept, new = Kept(), Kept()
    async with server([kept]), server([Kept(idle=False), new]) as admission:
        assert admission.admits(new, 100)
        await asyncio.wait_for(kept.closed.wait(), 10)


@pytest.mark.anyio
async def test_without_an_idle_connection_a_new_one_is_refused() -> None:
    new = Kept()
    async with server([Kept(idle=False)]), server([Kept(idle=False), new]) as admission:
        assert admission.admits(new, 99)
        assert not admission.admits(new, 100)


@pytest.mark.anyio
async def test_a_server_that_has_ended_is_not_asked() -> None:
    new = Kept()
    async with server([Kept()]):
        pass
    async with server([new]) as admission:
        assert not admission.admits(new, 100)
