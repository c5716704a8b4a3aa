"""What is said: protos, their google.api.http rules, and the two ways across."""

from __future__ import annotations

from mesh.contract.answers import Answer, error_response, send_answer
from mesh.contract.asgi import Transcoder
from mesh.contract.backends import Backend, ChannelBackend, Reply
from mesh.contract.inprocess import ServicerBackend
from mesh.contract.inverse import HttpCall, http_call
from mesh.contract.json_body import parse_json
from mesh.contract.methods import Binding, Contract, Method
from mesh.contract.router import NotAllowed
from mesh.contract.servicers import Handlers, collect_handlers
from mesh.contract.standalone import rest_app
from mesh.contract.status import status_bytes

__all__ = [
    "Answer",
    "Backend",
    "Binding",
    "ChannelBackend",
    "Contract",
    "Handlers",
    "HttpCall",
    "Method",
    "NotAllowed",
    "Reply",
    "ServicerBackend",
    "Transcoder",
    "collect_handlers",
    "error_response",
    "http_call",
    "parse_json",
    "rest_app",
    "send_answer",
    "status_bytes",
]
