"""Describes an exception that ended a start: one line, and the service's own traceback."""

from __future__ import annotations

import traceback

from mesh.errors import MeshError
from mesh.hosting.load_errors import ServiceImportError
from mesh.hosting.tracebacks import own_traceback
from mesh.runtime.generation.generation import StartError


def reason_of(error: BaseException) -> str:
    """Return one line for the exception that ended a start."""
    error = _own(error)
    if isinstance(error, SystemExit):
        return f"called sys.exit({error.code!r})"
    if isinstance(error, MeshError):
        return str(error)
    return traceback.format_exception_only(error)[-1].strip().partition("\n")[0]


def trace_of(error: BaseException) -> str:
    """Return the service's own traceback; empty for an error found by mesh."""
    error = _own(error)
    if isinstance(error, ServiceImportError):
        return error.trace.rstrip()
    if isinstance(error, MeshError) and error.__cause__ is None:
        return ""
    return own_traceback(error)


def _own(error: BaseException) -> BaseException:
    """Return the exception of the service's start-up instead of mesh's exception about it."""
    return error.__cause__ if isinstance(error, StartError) and error.__cause__ is not None else error
