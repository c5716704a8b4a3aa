"""The gRPC calls that a service is answering, and how each of them ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mesh.context import Call
from mesh.contract.backends.servicer_context import code_given, failure_of
from mesh.errors import Code, StatusError
from mesh.layers import status_of
from mesh.observing.span import Span
from mesh.serving.grpc.status import CODES, ErrorTrailers, Metadata, cut, room_beside, trailers_of

if TYPE_CHECKING:
    from mesh.serving.grpc.handlers import Layered


class Attempt:
    """The answering of one call by its method.

    cut_reason: why the call ends before its handler does, or empty.
    """

    def __init__(self, method: Layered, context: Any, call: Call, span: Span) -> None:
        self.method = method
        self.context = context
        self.call = call
        self.span = span
        self.cut_reason = ""

    def cut(self, reason: str) -> None:
        """End the call with UNAVAILABLE although its handler still runs."""
        self.cut_reason = reason
        self.method.cut(self)

    def finish(self) -> None:
        """Record how the call ends after its handler returned, by the code left in its context."""
        code = code_given(self.context.code())
        self.span.status = code.name
        if code is not Code.OK:
            self.context.set_code(CODES[code])
            self.context.set_details(cut(self._details(), room_beside(self._own_metadata())))

    def trailers(self, error: BaseException) -> ErrorTrailers:
        """Record and return what the caller is told of an exception that left the handler."""
        own = self._own_metadata()
        failure = failure_of(error, self.context.code(), self._details(), own)
        refusal = status_of(failure, self.method.service, self.call)
        self.span.status = refusal.code.name
        self.span.error = type(error).__name__
        return trailers_of(refusal, own)

    def trailers_of_cut(self) -> ErrorTrailers:
        """Record and return what the caller is told of a call that is cut."""
        self.span.status = Code.UNAVAILABLE.name
        return trailers_of(StatusError(Code.UNAVAILABLE, self.cut_reason), ())

    def _own_metadata(self) -> Metadata:
        return tuple((key, value) for key, value in self.context.trailing_metadata() or ())

    def _details(self) -> str:
        details = self.context.details() or ""
        return details.decode("utf-8", "replace") if isinstance(details, bytes) else str(details)


class ActiveCalls:
    """The attempts under way on one listener."""

    def __init__(self) -> None:
        self._attempts: set[Attempt] = set()

    @contextmanager
    def including(self, attempt: Attempt) -> Iterator[Attempt]:
        self._attempts.add(attempt)
        try:
            yield attempt
        finally:
            self._attempts.discard(attempt)

    def cut(self, reason: str) -> None:
        """End every call with UNAVAILABLE."""
        for attempt in list(self._attempts):
            attempt.cut(reason)
