"""Calls of mesh's own to listeners of this machine that speak TLS, whoever signed their certificates."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Sequence
from typing import Any

import grpc
from msgspec import Struct

from mesh.errors import MeshError
from mesh.sockets import connect, unverified
from mesh.topology.model import Address

#: Seconds in which a listener must say that it speaks TLS.
WITHIN = 2.0
_LOOPBACK = ("127.", "::1", "localhost")


class Certificate(Struct, frozen=True, dict=True):
    """What a listener shows. pem: its certificate. name: one that it holds for. problem: why no client accepts it."""

    pem: str
    name: str
    problem: str = ""

    @functools.cached_property
    def credentials(self) -> grpc.ChannelCredentials:
        """The credentials of a channel that accepts this certificate alone."""
        return grpc.ssl_channel_credentials(self.pem.encode())

    def context(self) -> ssl.SSLContext:
        """Return a context for HTTPS that accepts this certificate alone, by any name."""
        context = unverified()
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=self.pem)
        return context

    @property
    def channel_options(self) -> list[tuple[str, Any]]:
        return [("grpc.ssl_target_name_override", self.name), ("grpc.default_authority", self.name)]


def certificate_at(address: Address) -> Certificate | None:
    """Return the certificate that a listener shows; None if it does not speak TLS."""
    try:
        with _shaken_hands(unverified(), address) as found:
            pem = ssl.DER_cert_to_PEM_cert(found.getpeercert(binary_form=True) or b"")
        # Only of a certificate that it has verified does Python tell the names.
        with _shaken_hands(Certificate(pem, "").context(), address) as found:
            return Certificate(pem, _name(found.getpeercert() or {}))
    except ssl.SSLCertVerificationError as error:
        return Certificate(pem, "", error.verify_message)
    except OSError:
        return None


def channel_to(address: Address, options: Sequence[tuple[str, Any]] = ()) -> grpc.Channel:
    """Return a channel, with TLS if the listener is on this machine and speaks it.

    Raises MeshError for a certificate that no client accepts.
    """
    options = [("grpc.enable_http_proxy", 0), *options]
    found = certificate_at(address) if address.host.startswith(_LOOPBACK) else None
    if found is None:
        return grpc.insecure_channel(str(address), options)
    if found.problem:
        raise MeshError(f"the certificate of {address} is not valid: {found.problem}")
    return grpc.secure_channel(str(address), found.credentials, [*options, *found.channel_options])


def _shaken_hands(context: ssl.SSLContext, address: Address) -> ssl.SSLSocket:
    host = "127.0.0.1" if address.host == "localhost" else address.host
    return context.wrap_socket(connect(host, address.port, WITHIN))


def _name(certificate: dict[str, Any]) -> str:
    names = [text for kind, text in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    names += [text for part in certificate.get("subject", ()) for key, text in part if key == "commonName"]
    return names[0].replace("*", "any", 1) if names else ""
