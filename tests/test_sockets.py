"""Client sockets of mesh's own."""

from __future__ import annotations

import socket

import pytest

from mesh import sockets


def test_a_socket_that_the_system_connects_to_itself_counts_as_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sockets.client_socket(socket.AF_INET)
    made.bind(("127.0.0.1", 0))
    monkeypatch.setattr(sockets, "client_socket", lambda family: made)
    with pytest.raises(ConnectionRefusedError, match="nothing listens on port"):
        sockets.connect("127.0.0.1", made.getsockname()[1], 1)
    assert made.fileno() == -1


def test_a_connection_reaches_what_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with sockets.connect(address[0], address[1], 1) as client, server.accept()[0] as accepted:
            assert (client.getpeername(), accepted.getpeername()) == (address, client.getsockname())
