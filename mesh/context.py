"""The current call, and how HTTP headers and gRPC metadata carry it.

Headers and metadata share their names, all in lower case: `traceparent` (W3C Trace Context), `idempotency-key`,
and on HTTP `grpc-timeout` (gRPC over HTTP/2 writes its own).
"""

from __future__ import annotations

import math
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from msgspec import Struct, field

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MOST_UNITS = 99_999_999
_LARGEST_TIMEOUT = _MOST_UNITS * 3600.0
#: Ten years, the limit for any deadline: neither gRPC nor event loops can count the ten thousand years that fit into
#: the header.
LONGEST_SECONDS = 10 * 365 * 24 * 3600.0
#: Not the system's: reading from it lets go of the GIL, and under load a thread must wait to get it back.
_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)


def new_trace_id() -> str:
    return f"{_random.getrandbits(128):032x}"


def new_span_id() -> str:
    return f"{_random.getrandbits(64):016x}"


class Timing(Struct):
    """One answered call made for the current call: to whom, over which transport, for how many milliseconds."""

    service: str
    way: str
    milliseconds: float

    def __str__(self) -> str:
        return f'{self.service};desc="{self.way}";dur={self.milliseconds:.1f}'


class Call(Struct):
    """The call that the running code answers.

    deadline: on the clock of `time.monotonic()`, in seconds; None if the caller set none.
    timings: the calls made for it so far, for the Server-Timing header.
    received: the headers (as bytes) or the metadata that it came with, names in lower case.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    deadline: float | None = None
    idempotency_key: str | None = None
    timings: list[Timing] = field(default_factory=list)
    received: Sequence[tuple[Any, Any]] = ()

    @property
    def request_id(self) -> str:
        """Return the id that an error shown to the caller shares with the log."""
        return self.trace_id[:16]

    def remaining(self) -> float | None:
        """Return the seconds left, never negative; None without a deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)


def call_from(carrier: Mapping[str, str], remaining: float | None = None) -> Call:
    """Return the call that arrives with these headers or metadata; an invalid traceparent starts a new trace.

    remaining: seconds until the deadline if the transport knows it, else a `grpc-timeout` header is read. More than
    any timeout can express means no deadline.
    """
    if remaining is None and (text := carrier.get("grpc-timeout")):
        remaining = timeout_seconds(text)
    elif remaining is not None:
        remaining = min(remaining, LONGEST_SECONDS) if remaining <= _LARGEST_TIMEOUT else None
    deadline = None if remaining is None else time.monotonic() + remaining
    key = carrier.get("idempotency-key") or None
    trace_id, parent_id = trace_and_span(carrier.get("traceparent", "")) or (new_trace_id(), None)
    return Call(trace_id, new_span_id(), parent_id, deadline, key)


def trace_and_span(traceparent: str) -> tuple[str, str] | None:
    """Return the ids of a traceparent; None for a broken one."""
    matched = _TRACEPARENT.fullmatch(traceparent)
    return (matched[1], matched[2]) if matched else None


def headers_of(call: Call | None) -> dict[str, str]:
    """Return the headers of a call made for `call`."""
    trace_id, span_id = (call.trace_id, call.span_id) if call else (new_trace_id(), new_span_id())
    return {"traceparent": f"00-{trace_id}-{span_id}-01"}


def timeout_seconds(text: str) -> float:
    """Read a grpc-timeout such as `250m`, at most LONGEST_SECONDS; raises ValueError for anything else."""
    digits, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not digits.isascii() or not digits.isdecimal() or len(digits) > 8:
        raise ValueError(f"grpc-timeout {text!r} is not up to eight digits and one of H M S m u n")
    return min(int(digits) * _UNITS[unit], LONGEST_SECONDS)


def timeout_text(seconds: float) -> str:
    """Return a grpc-timeout in the smallest unit from milliseconds up that can express it, rounded up."""
    for unit in "mSMH":
        number = math.ceil(max(0.0, seconds) / _UNITS[unit])
        if number <= _MOST_UNITS:
            return f"{number}{unit}"
    return f"{_MOST_UNITS}H"
