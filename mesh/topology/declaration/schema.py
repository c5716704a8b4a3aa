"""The known keys of mesh.toml: the one table used for reading, checking and error messages."""

from __future__ import annotations

from mesh.topology.declaration.forms import (
    ALIASES,
    CONTRACTS,
    ENV_FILES,
    ENVIRONMENT,
    GRPC_OPTIONS,
    HOSTS,
    NAMES,
    ORIGINS,
    PORT,
    PORTS,
    PREFIX,
    READY,
    REFERENCE,
    REFERENCES,
    SECONDS,
    TEXT,
    TEXTS,
    Table,
    one_of,
    whole_number,
)

TLS = Table({"certificate": TEXT, "key": TEXT, "client_ca": TEXT})

LIMITS = Table(
    {
        "requests": whole_number(1),
        "url_bytes": whole_number(1),
        "headers": whole_number(1),
        "header_bytes": whole_number(1),
        "header_seconds": SECONDS,
        "body_seconds": SECONDS,
        "idle_seconds": SECONDS,
    }
)

HTTP = Table(
    {
        "port": PORT,
        "ports": PORTS,
        "app": REFERENCE,
        "contract": CONTRACTS,
        "prefix": PREFIX,
        "unknown_fields": one_of("reject", "ignore"),
        "root_path": PREFIX,
        "tls": TLS,
        "limits": LIMITS,
        "aliases": ALIASES,
        "hosts": HOSTS,
        "origins": ORIGINS,
    },
    shorthand="port",
)

GRPC = Table(
    {
        "port": PORT,
        "servicers": REFERENCES,
        "services": TEXTS,
        "aliases": ALIASES,
        "workers": whole_number(1),
        "queue": whole_number(0),
        "queue_seconds": SECONDS,
        "interceptors": REFERENCES,
        "compression": one_of("none", "deflate", "gzip"),
        "options": GRPC_OPTIONS,
        "tls": TLS,
    },
    shorthand="port",
)

TCP = Table({"port": PORT, "ports": PORTS, "aliases": ALIASES}, shorthand="port")

SERVICE = Table(
    {
        "root": TEXT,
        "http": HTTP,
        "grpc": GRPC,
        "tcp": TCP,
        "depends_on": NAMES,
        "env": ENVIRONMENT,
        "env_file": ENV_FILES,
        "protos": TEXTS,
        "run": TEXT,
        "command": TEXT,
        "image": TEXT,
        "volumes": TEXTS,
        "ready": READY,
        "isolation": one_of("thread", "process"),
        "watch": TEXTS,
        "python": TEXT,
        "requirements": TEXTS,
        "private": TEXTS,
        "shared": TEXTS,
        "profiles": NAMES,
        "grace": SECONDS,
        "keep": TEXTS,
        "fresh": TEXTS,
    }
)

PROJECT = Table({"name": TEXT, "protos": TEXTS, "secrets": TEXTS, "grace": SECONDS})
