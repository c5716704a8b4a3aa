"""TLS of a listener: of the files that are declared, or what the service's own program gave its server."""

from __future__ import annotations

import ssl
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.errors import UsageError
from mesh.topology.model import Tls


@dataclass(frozen=True, slots=True)
class HttpTls:
    """identity: equal for two contexts that encrypt alike, such as those of two generations."""

    identity: Hashable
    context: ssl.SSLContext = field(compare=False)


@dataclass(frozen=True, slots=True)
class GrpcTls:
    """credentials: `grpc.ServerCredentials`. identity: equal for two credentials that encrypt alike."""

    identity: Hashable
    credentials: Any = field(compare=False)


def http_tls(declared: Tls) -> HttpTls:
    """Return the TLS of an HTTP listener; raises UsageError for files that are no certificate with its key."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password it would ask on the terminal.
        context.load_cert_chain(declared.certificate, declared.key, password=lambda: "")
    except (OSError, ValueError) as error:
        files = f"{declared.certificate} and {declared.key}"
        raise UsageError(f"{files} are not a certificate and its unencrypted key, in PEM: {error}") from error
    if declared.client_ca is not None:
        try:
            context.load_verify_locations(declared.client_ca)
        except OSError as error:
            raise UsageError(f"{declared.client_ca} has no certificates in PEM: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return tls_of_context(context, declared.certificate, declared.key, declared.client_ca)


def grpc_tls(declared: Tls) -> GrpcTls:
    """Return the TLS of a gRPC listener; raises UsageError as `http_tls` does."""
    import grpc

    http_tls(declared)  # gRPC itself does not say what is wrong with a file
    pair = declared.key.read_bytes(), declared.certificate.read_bytes()
    ca = declared.client_ca.read_bytes() if declared.client_ca is not None else None
    return GrpcTls((pair, ca), grpc.ssl_server_credentials([pair], ca, ca is not None))


def tls_of_context(context: ssl.SSLContext, *files: str | Path | None) -> HttpTls:
    """Return the TLS of a context that was made of these files; without any, it is like no other."""
    context.set_alpn_protocols(["http/1.1"])
    return HttpTls(tuple(Path(each).read_bytes() for each in files if each) or context, context)


def tls_of_credentials(credentials: Any) -> GrpcTls:
    """Return the TLS of credentials that a program made; its grpcio may be another than mesh's, which serves."""
    if (made_of := getattr(credentials, "mesh_made_of", None)) is None:
        return GrpcTls(credentials, credentials)
    import grpc

    return GrpcTls(made_of, grpc.ssl_server_credentials(*made_of))
