"""grpcio's synchronous server."""

from __future__ import annotations

from typing import Any

import grpc
from grpc import _server


class Ended(Exception):
    """Raised in a handler whose call has been ended for it; grpc then says nothing more."""


def end_call(context: Any, code: grpc.StatusCode, details: str) -> None:
    """Send the call's status at once, from any thread, while its handler goes on."""
    state = context._state
    with state.condition:
        if state.client == _server._CANCELLED or state.statused:
            return
        state.code, state.details = code, details.encode()
        _server._abort(state, context._rpc_event.call, code, state.details)


def ended(context: Any) -> Ended:
    """Return the exception by which the handler of a call that `end_call()` ended leaves quietly."""
    error = Ended()
    with context._state.condition:
        context._state.rpc_errors.append(error)
    return error
