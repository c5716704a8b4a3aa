"""The current call: read from headers, counted down, and written for the next one."""

from __future__ import annotations

import re
import time

import pytest

from mesh.context import Call, Timing, call_from, headers_of, timeout_seconds, timeout_text

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_trace_goes_on_under_a_span_of_its_own() -> None:
    call = call_from({"traceparent": f"00-{TRACE}-{SPAN}-01"})
    assert (call.trace_id, call.parent_id) == (TRACE, SPAN)
    assert re.fullmatch("[0-9a-f]{16}", call.span_id)
    assert call.span_id != SPAN
    assert headers_of(call) == {"traceparent": f"00-{TRACE}-{call.span_id}-01"}
    assert call.request_id == "0af7651916cd43dd"


@pytest.mark.parametrize("broken", [
    "",
    "garbage",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE[1:]}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-01\n",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
])  # fmt: skip
def test_a_broken_traceparent_begins_a_new_trace(broken: str) -> None:
    call = call_from({"traceparent": broken})
    assert call.parent_id is None
    assert re.fullmatch("[0-9a-f]{32}", call.trace_id)
    assert call.trace_id not in (TRACE, "0" * 32)


def test_a_call_out_of_no_call_has_a_trace_of_its_own() -> None:
    first, second = headers_of(None)["traceparent"], headers_of(None)["traceparent"]
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", first)
    assert first != second


def test_a_key_is_kept_and_an_empty_one_is_none() -> None:
    assert call_from({"idempotency-key": "k1"}).idempotency_key == "k1"
    assert call_from({"idempotency-key": ""}).idempotency_key is None


def test_what_remains_of_a_deadline_shrinks_and_is_never_negative() -> None:
    call = call_from({"grpc-timeout": "2S"})
    assert 1.9 < (call.remaining() or 0) <= 2
    assert call_from({}).remaining() is None
    assert Call("t", "s", deadline=time.monotonic() - 5).remaining() == 0


def test_the_transports_own_deadline_comes_before_the_header() -> None:
    assert 0.9 < (call_from({"grpc-timeout": "5H"}, remaining=1.0).remaining() or 0) <= 1
    assert call_from({}, remaining=-1.0).remaining() == 0


@pytest.mark.parametrize(("text", "seconds"), [
    ("1H", 3600),
    ("2M", 120),
    ("3S", 3),
    ("250m", 0.25),
    ("5u", 5e-6),
    ("7n", 7e-9),
    ("0m", 0),
    ("99999999S", 99999999),
    ("99999999H", 10 * 365 * 24 * 3600),
])  # fmt: skip
def test_a_timeout_is_read_in_each_unit(text: str, seconds: float) -> None:
    assert timeout_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "S", "5", "5s", "5 S", " 5S", "5S ", "-1S", "+1S", "1.5S", "1e3m", "123456789S", "\u00b2S"]
)
def test_what_is_no_timeout_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"grpc-timeout .* is not up to eight digits and one of H M S m u n"):
        timeout_seconds(text)


@pytest.mark.parametrize(("seconds", "text"), [
    (1, "1000m"),
    (0.25, "250m"),
    (0.0001, "1m"),
    (0, "0m"),
    (-1, "0m"),
    (99_999.999, "99999999m"),
    (99_999.9999, "100000S"),
    (1e9, "16666667M"),
    (1e12, "99999999H"),
])  # fmt: skip
def test_a_timeout_is_written_in_the_smallest_unit_with_room_for_it_rounded_up(seconds: float, text: str) -> None:
    assert timeout_text(seconds) == text


def test_a_timing_reads_as_server_timing_wants_it() -> None:
    assert str(Timing("user-service", "grpc", 0.44)) == 'user-service;desc="grpc";dur=0.4'
