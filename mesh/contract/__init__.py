"""Contracts: protos, their google.api.http rules, and calls made with them over gRPC and HTTP."""

from __future__ import annotations

from mesh.contract.backends.backend import Backend, ChannelBackend, Reply
from mesh.contract.backends.inprocess import ServicerBackend
from mesh.contract.http_rules.router import NotAllowed
from mesh.contract.methods import Binding, Contract, Method
from mesh.contract.protojson.body import parse_json
from mesh.contract.rest.app import Transcoder
from mesh.contract.rest.client import HttpCall, http_call
from mesh.contract.rest.comments import comments_of
from mesh.contract.rest.exchange import Response, error_response, send_answer
from mesh.contract.rest.merging import merge_documents
from mesh.contract.rest.openapi import openapi
from mesh.contract.rest.standalone import rest_app
from mesh.contract.servicers import Handlers, collect_handlers
from mesh.contract.status import status_bytes

__all__ = [
    "Backend",
    "Binding",
    "ChannelBackend",
    "Contract",
    "Handlers",
    "HttpCall",
    "Method",
    "NotAllowed",
    "Reply",
    "Response",
    "ServicerBackend",
    "Transcoder",
    "collect_handlers",
    "comments_of",
    "error_response",
    "http_call",
    "merge_documents",
    "openapi",
    "parse_json",
    "rest_app",
    "send_answer",
    "status_bytes",
]
