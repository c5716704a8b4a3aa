"""grpcio's synchronous server, and its error texts about connections."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc


class CallEnded(Exception):
    """Raised in a handler whose call has already been ended; grpc then reports nothing more."""


def end_call(context: Any, code: grpc.StatusCode, details: str) -> None:
    """Send the call's status at once, from any thread, while its handler keeps running."""
    from grpc import _server

    state = context._state
    with state.condition:
        if state.client == _server._CANCELLED or state.statused:
            return
        state.code, state.details = code, details.encode()
        _server._abort(state, context._rpc_event.call, code, state.details)


def ended(context: Any) -> CallEnded:
    """Return the exception with which the handler of a call that `end_call()` ended can leave quietly."""
    error = CallEnded()
    with context._state.condition:
        context._state.rpc_errors.append(error)
    return error


def methods_of(handler: grpc.GenericRpcHandler) -> Mapping[str, Any] | None:
    """Return the methods by path of a handler of `grpc.method_handlers_generic_handler`; None for other handlers.

    Code generated before grpcio-tools 1.65 adds its methods only in this form.
    """
    found = getattr(handler, "_method_handlers", None)
    return found if isinstance(found, Mapping) else None


def run_in(pool: ThreadPoolExecutor, behavior: Any) -> None:
    """Make a synchronous server call the function, a method's behavior, in this pool rather than in its own."""
    behavior.experimental_thread_pool = pool


def is_unconnected(details: str) -> bool:
    """Return True if the details of an UNAVAILABLE call report no connection, so that nothing was executed."""
    return details.startswith("failed to connect to all addresses")


def is_not_http2(details: str) -> bool:
    """Return True if the details of an UNAVAILABLE call report an answer that was not HTTP/2."""
    return "Failed parsing HTTP/2" in details or "Trying to connect an http1.x server" in details
