"""`mesh replay`: a recorded request, sent again to what runs now, and how the two differ."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from difflib import ndiff
from typing import TYPE_CHECKING, Any

import click

from mesh.commands.history.traces import find
from mesh.commands.project import project_folder
from mesh.commands.terminal.streams import write_lines

if TYPE_CHECKING:
    from mesh.observing.span import Span
    from mesh.topology.model import Address, Kind

#: Seconds that the service gets to answer.
TIMEOUT_SECONDS = 30.0


@click.command()
@click.argument("trace_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(trace_id: str, as_json: bool) -> int:
    """Send a recorded request again, and print how its answer and the calls that follow differ; 1 if they do.

    Headers and metadata are not recorded, so none are sent but the Content-Type.
    """
    from mesh.context import call_from, headers_of

    before, _ = find(trace_id.lower())
    request = request_of(before)
    caller = call_from({})
    state = running_state(request.service, request.protocol)
    send(request, state, headers_of(caller))
    after, _ = find(caller.trace_id)
    outlines = outline(before), outline(after)
    is_same = outlines[0] == outlines[1]
    took = request_of(after).milliseconds, request.milliseconds
    if as_json:
        facts = {"trace_id": caller.trace_id, "same": is_same, "before": outlines[0], "after": outlines[1]}
        click.echo(json.dumps({**facts, "milliseconds": took[0], "milliseconds_before": took[1]}))
    else:
        lines = ["same"] if is_same else [each.rstrip() for each in ndiff(*outlines) if not each.startswith("?")]
        write_lines("\n".join([*lines, f"trace {caller.trace_id}  {took[0]:.1f} ms, was {took[1]:.1f} ms"]))
    return 0 if is_same else 1


def request_of(spans: Sequence[Span]) -> Span:
    """Return the outermost call that a service answered; UsageError where none did, or its body was cut."""
    from mesh.errors import UsageError

    answered = sorted(
        (each for each in spans if each.kind == "server"), key=lambda each: (not each.is_root, each.start)
    )
    if not answered:
        raise UsageError(f"trace {spans[0].trace_id} has no call that a service answered")
    first = answered[0]
    if len(first.request) < first.request_size:
        raise UsageError(
            f"{first.name}: only {len(first.request)} of {first.request_size} bytes of the request are recorded; "
            "a request that was cut cannot be sent again"
        )
    if first.method == "WS":
        raise UsageError(f"{first.name}: a WebSocket cannot be replayed")
    return first


def outline(spans: Sequence[Span]) -> list[str]:
    """Return what was answered by whom, without times and ids: equal for two requests that went the same way."""
    from mesh.commands.terminal.payloads import Payloads
    from mesh.observing.waterfall import name_of, status_of

    payloads = Payloads()
    known = {each.span_id: each for each in spans}
    inner: dict[str | None, list[Span]] = {}
    for span in spans:
        if span.kind == "server":
            parent = known.get(span.parent_id or "")
            while parent is not None and parent.kind == "client":
                parent = known.get(parent.parent_id or "")
            inner.setdefault(parent.span_id if parent is not None else None, []).append(span)

    def lines_under(parent: str | None) -> list[str]:
        # Sorted: calls that are made at the same time begin in any order.
        blocks = sorted(
            [f"{each.service} {name_of(each)} {status_of(each)}", *payloads.shown(each), *lines_under(each.span_id)]
            for each in inner.pop(parent, [])
        )
        return [f"{'' if parent is None else '  '}{line}" for block in blocks for line in block]

    return lines_under(None)


def running_state(service: str, kind: Kind) -> dict[str, Any]:
    """Return the state of the service that listens now; UsageError if it does not."""
    from mesh.control.client import running_services
    from mesh.errors import UsageError

    for state in running_services(project_folder()):
        if state["name"] == service and state[kind]:
            return state
    raise UsageError(f"{service}.{kind} does not run; start it with `mesh up`")


def send(span: Span, state: dict[str, Any], carrier: dict[str, str]) -> None:
    """Send the request to the running service, and read its answer, which the record of its mesh has as well."""
    from mesh.control.client import address_in
    from mesh.errors import MeshError

    address = address_in(state, span.protocol)
    assert address is not None
    if span.protocol == "grpc":
        return _send_message(span, address, carrier)
    from http.client import HTTPException

    from mesh.sockets import LocalConnection

    connection = LocalConnection(address.host, address.port, TIMEOUT_SECONDS, "http" in state["tls"])
    headers = {**carrier, **({"content-type": span.request_type} if span.request_type else {})}
    try:
        connection.request(span.method, span.target, span.request or None, headers)
        connection.getresponse().read()
    except (OSError, HTTPException) as error:
        raise MeshError(f"{span.service}: {address} does not answer: {error}") from error
    finally:
        connection.close()


def _send_message(span: Span, address: Address, carrier: dict[str, str]) -> None:
    import grpc

    from mesh.calling.local_tls import channel_to
    from mesh.calling.reflected import Reflected
    from mesh.errors import UsageError

    with Reflected(address, TIMEOUT_SECONDS) as reflected:
        if any(each.path == span.method and each.streaming for each in reflected.contract()):
            raise UsageError(f"{span.name}: a stream cannot be replayed, since its messages are recorded as one")
    with channel_to(address) as channel:
        ask: Any = channel.unary_unary(span.method)
        with contextlib.suppress(grpc.RpcError):  # The status is part of the record.
            ask(span.request, timeout=TIMEOUT_SECONDS, metadata=tuple(carrier.items()))
