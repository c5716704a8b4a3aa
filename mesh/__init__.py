"""Your whole topology, one process, real sockets.

For services: `Peer` and `proxy` call other services, `current_service` tells a service where it runs and
`current_call` for whom, `state` is a dict that survives reloads, `StatusError` and `Code` are errors that become
gRPC or HTTP statuses, `parse_json` and `exception_handlers` help hand-written HTTP. For projects: `Topology`,
`Service`, `Http`, `Grpc`, `Limits`, `Tls`; and for a program that runs one: `Supervisor`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.calling.forwarding.proxy import proxy
    from mesh.calling.peer import OutgoingCall, Peer, Retry, SyncPeer
    from mesh.context import Call, current_call
    from mesh.contract.protojson.body import parse_json
    from mesh.errors import Code, MeshError, StatusError, UsageError
    from mesh.runtime.options import Options
    from mesh.runtime.supervisor import Supervisor
    from mesh.service import ServiceContext, current_service, state
    from mesh.serving.http.exception_handlers import exception_handlers
    from mesh.topology.model import Address, Grpc, Http, Limits, Service, Tls, Topology

__version__ = "0.1.0"

__all__ = [
    "Address",
    "Call",
    "Code",
    "Grpc",
    "Http",
    "Limits",
    "MeshError",
    "Options",
    "OutgoingCall",
    "Peer",
    "Retry",
    "Service",
    "ServiceContext",
    "StatusError",
    "Supervisor",
    "SyncPeer",
    "Tls",
    "Topology",
    "UsageError",
    "current_call",
    "current_service",
    "exception_handlers",
    "parse_json",
    "proxy",
    "state",
]

#: The module of each name. Imported on first use: `mesh --help` and pytest without the fixture need none of them.
_FROM = {
    "mesh.calling.peer": ("OutgoingCall", "Peer", "Retry", "SyncPeer"),
    "mesh.calling.forwarding.proxy": ("proxy",),
    "mesh.context": ("Call", "current_call"),
    "mesh.contract.protojson.body": ("parse_json",),
    "mesh.errors": ("Code", "MeshError", "StatusError", "UsageError"),
    "mesh.service": ("ServiceContext", "current_service", "state"),
    "mesh.runtime.options": ("Options",),
    "mesh.runtime.supervisor": ("Supervisor",),
    "mesh.serving.http.exception_handlers": ("exception_handlers",),
    "mesh.topology.model": ("Address", "Grpc", "Http", "Limits", "Service", "Tls", "Topology"),
}
_MODULE = {name: module for module, names in _FROM.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'mesh' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_MODULE[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
