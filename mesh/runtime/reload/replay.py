"""Repeats a service's last safe request, and reports the differences."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import json_format

from mesh.calling.local_tls import channel_to
from mesh.contract import Contract
from mesh.observing.exchanges import Exchange
from mesh.sockets import LocalConnection
from mesh.topology.model import Address

TIMEOUT = 10.0
#: How many differences of an answer are reported.
SHOWN = 5


def replay(exchange: Exchange, address: Address, contract: Contract | None, tls: bool = False) -> str:
    """Return one line that compares the new answer with the old one, and a line for each difference.

    contract: to show the messages of a gRPC method by their fields. tls: the HTTP listener speaks it.
    """
    started = time.perf_counter()
    try:
        status, answer = _get(exchange, address, tls) if exchange.kind == "http" else _call(exchange, address)
    except OSError as error:
        status, answer = f"no answer ({error})", b""
    milliseconds = (time.perf_counter() - started) * 1000
    first = f"replayed {exchange}: {exchange.status} -> {status}, {exchange.milliseconds:.1f} -> {milliseconds:.1f} ms"
    method = contract[exchange.target] if contract is not None and exchange.target in contract else None
    before, after = (_read(each, method) for each in (exchange.answer, answer))
    found = list(differences(before, after))
    lines = found[:SHOWN] + ([f"... and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])
    return "\n".join(
        [f"{first}, {'same answer' if not found else 'different answer:'}", *(f"  {each}" for each in lines)]
    )


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Return `place: old -> new` for each value that differs between two JSON values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            inner = f"{place}.{key}" if place else str(key)
            yield from differences(before.get(key, _NOTHING), after.get(key, _NOTHING), inner)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else _NOTHING
            new = after[index] if index < len(after) else _NOTHING
            yield from differences(old, new, f"{place}[{index}]")
    elif before != after:
        yield f"{place or 'the answer'}: {_text(before)} -> {_text(after)}"


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _text(value: Any) -> str:
    text = repr(value) if value is _NOTHING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _read(answer: bytes, method: Any) -> Any:
    """Return the answer's JSON, or else its text."""
    try:
        if method is not None:
            message = method.response_class.FromString(answer)
            return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
        return json.loads(answer)
    except Exception:
        return answer.decode("utf-8", "replace")


def _get(exchange: Exchange, address: Address, tls: bool) -> tuple[str, bytes]:
    connection = LocalConnection(address.host, address.port, TIMEOUT, tls)
    try:
        connection.request("GET", exchange.target, headers=dict(exchange.headers))
        with connection.getresponse() as response:
            return str(response.status), response.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def _call(exchange: Exchange, address: Address) -> tuple[str, bytes]:
    with channel_to(address) as channel:
        try:
            ask: Any = channel.unary_unary(exchange.target)
            answer: bytes = ask(exchange.request, metadata=exchange.headers, timeout=TIMEOUT)
            return "OK", answer
        except grpc.RpcError as error:
            return error.code().name, (error.details() or "").encode()
