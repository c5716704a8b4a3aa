"""Leads connections of psycopg and psycopg2 to the actual address: libpq, which is C, looks names up by itself.

libpq also reads the process's own environment, not the service's: its variables are given along.
"""

from __future__ import annotations

import functools
import inspect
import ipaddress
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mesh.hosting.patches import Patches
from mesh.topology.model import LOOPBACK

#: What libpq takes from the environment, by the parameter that overrides it.
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "sslmode": "PGSSLMODE",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
}
_PORT = "5432"

#: Returns the actual host and port; raises ConnectionRefusedError if nothing is there.
Actual = Callable[[Any, Any], tuple[Any, Any]]


def serve_psycopg(psycopg: ModuleType, patches: Patches, actual: Actual) -> None:
    """Redirect what `psycopg.connect`, and `connect` of both kinds of connections, connect to."""
    from_text, to_text = psycopg.conninfo.conninfo_to_dict, psycopg.conninfo.make_conninfo

    def connecting(real: Callable[..., Any]) -> Callable[..., Any]:
        own = {name for name, each in inspect.signature(real).parameters.items() if each.kind is each.KEYWORD_ONLY}

        def connect(cls: Any, conninfo: str = "", **options: Any) -> Any:
            given = {name: value for name, value in options.items() if name in own}
            parameters = from_text(conninfo, **{name: value for name, value in options.items() if name not in own})
            return real(cls, to_text(**redirected(parameters, actual)), **given)

        return functools.update_wrapper(connect, real)

    for kind in (psycopg.Connection, psycopg.AsyncConnection):
        patches.replace(kind, "connect", classmethod(connecting(vars(kind)["connect"].__func__)))
    patches.replace(psycopg, "connect", psycopg.Connection.connect)


def serve_psycopg2(psycopg2: ModuleType, patches: Patches, actual: Actual) -> None:
    """Redirect what `psycopg2.connect` connects to."""
    real = psycopg2.connect
    extensions = psycopg2.extensions

    @functools.wraps(real)
    def connect(
        dsn: str | None = None, connection_factory: Any = None, cursor_factory: Any = None, **options: Any
    ) -> Any:
        asynchronous = {name: options.pop(name) for name in ("async", "async_") if name in options}
        parameters = extensions.parse_dsn(extensions.make_dsn(dsn, **options)) if dsn or options else {}
        text = extensions.make_dsn(**redirected(parameters, actual))
        return real(text, connection_factory=connection_factory, cursor_factory=cursor_factory, **asynchronous)

    patches.replace(psycopg2, "connect", connect)


def redirected(parameters: dict[str, Any], actual: Actual) -> dict[str, Any]:
    """Return libpq's parameters with the actual address of each host; the host itself stays, for TLS and passwords."""
    environment = {name: os.environ[variable] for name, variable in _VARIABLES.items() if variable in os.environ}
    found = {**environment, **{name: value for name, value in parameters.items() if value is not None}}
    hosts = str(found.get("host") or "").split(",")
    if not found.get("host") or found.get("hostaddr") or hosts[0].startswith(("/", "@")):
        return found
    ports = str(found.get("port") or _PORT).split(",")
    pairs = [_pair(host, ports[at] if len(ports) > 1 else ports[0], actual) for at, host in enumerate(hosts)]
    if [host for host, _ in pairs] != hosts:
        addresses = [_address(host) for host, _ in pairs]
        if all(addresses):
            found["hostaddr"] = ",".join(addresses)
        else:
            found["host"] = ",".join(host for host, _ in pairs)
    found["port"] = ",".join(port for _, port in pairs)
    return found


def _pair(host: str, port: str, actual: Actual) -> tuple[str, str]:
    try:
        found, number = actual(host, port or _PORT)
    except ConnectionRefusedError:
        return "127.0.0.1", "1"  # refused there, with libpq's own words
    return str(found), str(number)


def _address(host: str) -> str:
    """Return the host as an IP address; empty for a name that is to be looked up."""
    if host == LOOPBACK:
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""
