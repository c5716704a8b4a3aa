"""What to tell of an exception that ended a start: a line, and the service's own traceback."""

from __future__ import annotations

import traceback

from mesh.errors import MeshError
from mesh.hosting.references import ServiceImportError
from mesh.hosting.tracebacks import own_traceback
from mesh.runtime.generation.generation import StartError


def reason_of(error: BaseException) -> str:
    """One line for what ended a start."""
    error = _own(error)
    if isinstance(error, SystemExit):
        return f"called sys.exit({error.code!r})"
    if isinstance(error, MeshError):
        return str(error)
    return traceback.format_exception_only(error)[-1].strip().partition("\n")[0]


def trace_of(error: BaseException) -> str:
    """The service's own traceback; empty for what mesh itself found wrong."""
    error = _own(error)
    if isinstance(error, ServiceImportError):
        return error.trace.rstrip()
    if isinstance(error, MeshError) and error.__cause__ is None:
        return ""
    return own_traceback(error)


def _own(error: BaseException) -> BaseException:
    """What the service's start-up raised, in the place of mesh's word for it."""
    return error.__cause__ if isinstance(error, StartError) and error.__cause__ is not None else error
