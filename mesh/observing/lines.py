"""Lines that services write, with the call that was being answered and the level that they were logged with."""

from __future__ import annotations

from contextvars import ContextVar

from mesh.context import current_call
from mesh.observing.journal import Line

#: The level of the log record that is being handled, such as `WARNING`; None outside of logging.
log_level_var: ContextVar[str | None] = ContextVar("log_level_var", default=None)


def line_here(service: str, stream: str, text: str) -> Line:
    """Return a line that the running code has written."""
    call = current_call.get()
    line = Line(service, text, stream)
    if call is not None:
        line.trace_id, line.span_id = call.trace_id, call.span_id
    line.level = log_level_var.get()
    return line
