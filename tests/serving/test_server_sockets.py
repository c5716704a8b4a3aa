"""Two programs may bind one port at the same moment; only one of them gets its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from mesh.serving.http.server import HttpServer
from mesh.serving.server_sockets import bind, listen
from mesh.topology.model import Address

ANY = Address("127.0.0.1", 0)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_server_whose_port_another_program_listens_on_by_now_does_not_start(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with bind(ANY) as ours, bind(Address(*ours.getsockname())) as theirs:
        theirs.listen()
        server = HttpServer([ours], lambda scope, receive, send: asyncio.sleep(0))
        with asyncio.Runner(loop_factory=new_loop) as runner, pytest.raises(OSError, match="Address already in use"):
            runner.run(server.start())


def test_a_port_that_was_bound_twice_is_had_by_the_first_that_listens() -> None:
    with bind(ANY) as theirs:
        address = Address(*theirs.getsockname())
        with listen(address), pytest.raises(OSError, match="Address already in use"):
            theirs.listen()
    with bind(ANY) as ours, bind(Address(*ours.getsockname())):
        address = Address(*ours.getsockname())
        ours.listen()
        with pytest.raises(OSError, match="Address already in use"):
            listen(address)
