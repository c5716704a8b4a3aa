"""Options of a peer and of a single call, against servers that really need them."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
import trustme
from calls_pb2 import Item
from calls_pb2_grpc import CallsStub

from mesh import Code, OutgoingCall, Peer, Retry, StatusError, UsageError
from tests.calling.peer.calls import MISSING, Caller, Calls, serving
from tests.calling.peers import refused

peer = Peer("calls")


def at(address: str, **options: Any) -> Any:
    """Return a peer of a server outside the topology."""
    return Peer(CallsStub, at=address, **options)


@pytest.mark.parametrize("without", ["http", "grpc"])
def test_metadata_goes_out_over_both_transports(caller: Caller, servicer: Calls, without: str) -> None:
    sent = {"x-tenant": "a", "x-raw-bin": b"\x00\xff", "authorization": "Bearer t"}
    caller.finding(**{without: None}).run(lambda: peer.Get(Item(id=1), metadata=sent))
    assert sent.items() <= servicer.asked[0].items()


@pytest.mark.parametrize(("without", "trailing"), [("http", {"expires": "last"}), ("grpc", {})])
def test_a_reply_has_initial_and_trailing_metadata(caller: Caller, without: str, trailing: dict[str, str]) -> None:
    """HTTP has one kind of headers: they come as initial metadata."""
    asked = caller.finding(**{without: None})
    reply = asked.run(lambda: peer.Get.with_reply(id=4))
    assert reply.message == Item(id=4)
    assert dict(reply.initial_metadata)["etag"] == "first"
    assert dict(reply.trailing_metadata) == trailing
    assert dict(reply.metadata)["expires"] == "last"
    assert dict(asked.plain(lambda: peer.sync.Get.with_reply(id=4)).metadata)["etag"] == "first"


def test_a_stream_has_its_metadata(caller: Caller, run: Any) -> None:
    async def watch() -> tuple[Any, ...]:
        stream = peer.Watch(id=2)
        before = dict(await stream.initial_metadata())
        return before["etag"], [item.id async for item in stream], dict(stream.trailing_metadata)["expires"]

    assert run(watch) == ("first", [1, 2], "last")

    def plain() -> None:
        stream = peer.sync.Watch(id=2)
        assert dict(stream.initial_metadata())["etag"] == "first"
        assert [item.id for item in stream] == [1, 2]
        assert dict(stream.trailing_metadata)["expires"] == "last"

    caller.plain(plain)


def test_an_error_has_the_trailing_metadata_it_came_with(caller: Caller) -> None:
    with pytest.raises(StatusError) as caught:
        caller.run(lambda: peer.Get(id=MISSING))
    assert "grpc-status-details-bin" in dict(caught.value.metadata)


@pytest.mark.parametrize("metadata", [{"grpc-timeout": "1S"}, {"x": b"bytes"}, {"x-bin": "text"}])
def test_metadata_that_grpc_cannot_carry_is_refused(caller: Caller, metadata: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"metadata {next(iter(metadata))!r}: "):
        caller.run(lambda: peer.Get(Item(id=1), metadata=metadata))


@pytest.mark.parametrize("received", [
    (("x-tenant", "a"), ("x-secret", "s")),
    ((b"x-tenant", b"a"), (b"x-secret", b"s"), (b"cookie", b"c")),
    ((b"grpc-metadata-x-tenant", b"a"), (b"grpc-metadata-x-secret", b"s")),
], ids=["metadata", "headers", "prefixed headers"])  # fmt: skip
def test_what_the_allow_list_names_is_passed_on_and_nothing_else(
    caller: Caller, servicer: Calls, received: Any
) -> None:
    passing = Peer("calls", forward=["X-Tenant"])
    caller.answering(*received).run(lambda: passing.Get(id=1))
    caller.answering(*received).run(lambda: passing.Get(Item(id=1), metadata={"x-tenant": "mine"}))
    caller.answering(*received).run(lambda: peer.Get(id=1))
    assert [each.get("x-tenant") for each in servicer.asked] == ["a", "mine", None]
    assert not any({"x-secret", "cookie"} & each.keys() for each in servicer.asked)


def test_a_read_and_a_call_with_a_key_are_retried_and_a_write_is_not(caller: Caller) -> None:
    servicer, retry = Calls(), Retry(attempts=3, initial_seconds=0.001)

    def asked(refusals: int, call: Any) -> tuple[str, int]:
        servicer.refusals, before = refusals, len(servicer.asked)
        try:
            caller.run(call)
            outcome = "OK"
        except StatusError as error:
            outcome = error.code.name
        return outcome, len(servicer.asked) - before

    with serving(servicer) as address:
        retrying, plain = at(address, retry=retry), at(address)
        assert asked(2, lambda: retrying.Get(id=1)) == ("OK", 3)
        assert asked(3, lambda: retrying.Get(id=1)) == ("UNAVAILABLE", 3)
        assert asked(1, lambda: plain.Get(id=1)) == ("UNAVAILABLE", 1)
        assert asked(1, lambda: retrying.Put(id=1)) == ("UNAVAILABLE", 1)
        assert asked(1, lambda: retrying.Put(id=1, idempotency_key="k")) == ("OK", 2)
        assert asked(0, lambda: retrying.Get(id=MISSING)) == ("UNKNOWN", 1)  # bare grpc makes UNKNOWN of an exception


def test_no_retry_begins_after_the_deadline(caller: Caller) -> None:
    servicer = Calls()
    servicer.refusals = 1000
    with serving(servicer) as address, pytest.raises(StatusError) as caught:
        caller.run(lambda: at(address, timeout=0.2, retry=Retry(1000, 0.02, 0.02)).Get(id=1))
    assert caught.value.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
    assert 1 < len(servicer.asked) < 1000


def test_pauses_are_random_and_bounded() -> None:
    retry = Retry(attempts=4, initial_seconds=0.1, max_seconds=0.3)
    drawn = [[retry.pause(failures) for _ in range(200)] for failures in (1, 2, 3)]
    for pauses, bound in zip(drawn, (0.1, 0.2, 0.3), strict=True):
        assert all(pause is not None and 0 <= pause <= bound for pause in pauses)
        assert len(set(pauses)) > 1
    assert retry.pause(4) is None


def test_a_call_waits_for_a_server_that_is_not_there_yet(caller: Caller) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    address = f"127.0.0.1:{port}"
    with pytest.raises(StatusError, match="failed to connect"):
        caller.run(lambda: at(address).Get(id=1))
    answers: list[Item] = []
    waiting = at(address, wait_for_ready=True, timeout=60.0)
    thread = threading.Thread(target=lambda: answers.append(caller.run(lambda: waiting.Get(id=1))))
    thread.start()
    with serving(Calls(), port):
        thread.join()
    assert [answer.id for answer in answers] == [1]


def test_interceptors_surround_each_attempt_on_either_transport(caller: Caller, servicer: Calls) -> None:
    seen: list[str] = []

    def noting(name: str) -> Any:
        @asynccontextmanager
        async def interceptor(call: OutgoingCall) -> AsyncIterator[None]:
            seen.append(f"{name} {call.method.name} {call.transport}")
            call.metadata.append((f"x-{name}", "1"))
            try:
                yield
            except StatusError as error:
                seen.append(f"{name} {error.code.name}")
                raise
            seen.append(f"{name} OK")

        return interceptor

    both = Peer("calls", interceptors=[noting("outer"), noting("inner")])
    with refused() as address:
        caller.finding(grpc=address).run(lambda: both.Get(id=1))
    assert seen == [
        "outer Get grpc", "inner Get grpc", "inner UNAVAILABLE", "outer UNAVAILABLE",
        "outer Get http", "inner Get http", "inner OK", "outer OK",
    ]  # fmt: skip
    assert {"x-outer", "x-inner"} <= servicer.asked[0].keys()
    seen.clear()

    async def watch() -> list[int]:
        return [item.id async for item in both.Watch(id=2)]

    assert caller.run(watch) == [1, 2]
    assert seen == ["outer Watch grpc", "inner Watch grpc", "inner OK", "outer OK"]


def test_an_interceptor_that_suppresses_an_error_is_said_to(caller: Caller) -> None:
    @asynccontextmanager
    async def silent(call: OutgoingCall) -> AsyncIterator[None]:
        with suppress(StatusError):
            yield

    with pytest.raises(Exception, match=r"an interceptor suppressed the error of calls\.Calls\.Get"):
        caller.run(lambda: Peer("calls", interceptors=[silent]).Get(id=MISSING))


def test_what_is_sent_can_be_compressed(caller: Caller) -> None:
    name = "x" * 100_000
    with serving(Calls()) as address, counting(address) as (relay, sent):
        caller.run(lambda: at(relay).Get(name=name))
        plain = sum(sent)
        sent.clear()
        caller.run(lambda: at(relay).Get(Item(name=name), compression=grpc.Compression.Gzip))
    assert plain > 100_000
    assert sum(sent) < 10_000


def test_a_large_answer_needs_a_larger_limit(caller: Caller) -> None:
    item = Item(name="x" * 5_000_000)
    with serving(Calls()) as address:
        with pytest.raises(StatusError) as caught:
            caller.run(lambda: at(address).Get(item))
        limits = [("grpc.max_receive_message_length", 8_000_000)]
        answer = caller.run(lambda: at(address, channel_options=limits).Get(item))
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert len(answer.name) == 5_000_000


def test_a_server_outside_is_asked_over_tls(caller: Caller) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    server = grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])
    trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with serving(Calls(), credentials=server) as address:
        assert caller.run(lambda: at(address, credentials=trusted).Get(id=3)).id == 3
        assert caller.plain(lambda: at(address, credentials=trusted).sync.Get(id=4)).id == 4
        with pytest.raises(StatusError) as caught:
            caller.run(lambda: at(address, credentials=grpc.ssl_channel_credentials()).Get(id=3))
    assert caught.value.code is Code.UNAVAILABLE


def test_a_peer_with_credentials_is_not_asked_over_plain_http(caller: Caller, servicer: Calls) -> None:
    secure = Peer("calls", credentials=grpc.ssl_channel_credentials(), timeout=10.0)
    with pytest.raises(StatusError) as caught:
        caller.run(lambda: secure.Get(id=1))
    assert (caught.value.code, servicer.asked) == (Code.UNAVAILABLE, [])


class counting:
    """A relay to the address; a context manager of its own address and the sizes of what was sent through it."""

    def __init__(self, address: str) -> None:
        self._target = address
        self._sent: list[int] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> tuple[str, list[int]]:
        listener = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(listener)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}", self._sent

    def _accept(self, listener: socket.socket) -> None:
        host, port = self._target.split(":")
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection((host, int(port)))
            self._sockets += [client, server]
            for pair, sizes in (((client, server), self._sent), ((server, client), [])):
                threading.Thread(target=self._pump, args=(*pair, sizes), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, sizes: list[int]) -> None:
        try:
            while data := source.recv(65536):
                sizes.append(len(data))
                sink.sendall(data)
        except OSError:
            pass

    def __exit__(self, *raised: object) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
