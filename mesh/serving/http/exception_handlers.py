"""Starlette and FastAPI exception handlers that answer with google.rpc.Status as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mesh.context import current_call
from mesh.contract.rest.exchange import error_response
from mesh.errors import Code, StatusError, code_of_status
from mesh.layers import bug_in
from mesh.service import current_service_var


async def _status_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)
    return _response(error)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    message = error.detail or HTTPStatus(status).phrase
    if status == 404 and message == HTTPStatus.NOT_FOUND.phrase:
        message = f"{request.url.path} does not exist"
    if status == 405:
        message = f"{request.method} is not allowed on {request.url.path}"
    return _response(StatusError(code_of_status(status), message, http_status=status), error.headers)


async def _client_left(request: Request, error: Exception) -> Response:
    return _response(StatusError(Code.CANCELLED, "the client left before the end of its body"))


async def _bug(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer; the dispatcher logs it.
    service, call = current_service_var.get(), current_call.get()
    return _response(bug_in(service, call) if service and call else StatusError(Code.INTERNAL, "internal error"))


def _response(error: StatusError, headers: Mapping[str, str] | None = None) -> Response:
    answer = error_response(error)
    response = Response(answer.body, answer.status)
    response.raw_headers.extend(answer.headers)
    response.headers.update(headers or {})
    return response


#: For `Starlette(exception_handlers=...)` and `FastAPI(exception_handlers=...)`.
exception_handlers: Mapping[Any, Any] = {
    StatusError: _status_error,
    HTTPException: _http_exception,
    ClientDisconnect: _client_left,
    Exception: _bug,
}
