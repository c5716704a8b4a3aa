"""gunicorn in a program: its application is served by the listener, its workers by threads."""

from __future__ import annotations

import os
import sys
from typing import Any

from mesh.hosting.mains.program_modules import program_module
from mesh.serving.mains.http_servers import serve_wsgi
from mesh.serving.mains.program import Program
from mesh.serving.tls import HttpTls, tls_of_context

#: Workers that serve an ASGI application by uvicorn.
_UVICORN = ("UvicornWorker", "UvicornH11Worker")


def run_gunicorn(program: Program, application: Any) -> None:
    """Do what `gunicorn.app.base.Application.run` does, with a thread for each request.

    One synchronous worker answers one request after the other, in the program's thread.
    """
    settings = application.cfg
    for name, setting in settings.settings.items():
        if setting.section == "Server Hooks" and setting.get() != setting.default:
            raise program.refusal(f"sets {name} of gunicorn, which mesh does not call")
    worker = settings.worker_class_str.rpartition(".")[2]
    if worker not in ("sync", "SyncWorker", "gthread", "ThreadWorker", *_UVICORN):
        raise program.refusal(f"lets gunicorn use {worker}")
    match settings.address:
        case [(host, port)]:
            program.port_for("http", port)
        case found:
            raise program.refusal(f"lets gunicorn listen on {found}")
    for folder in (settings.pythonpath or "").split(","):
        if folder and os.path.abspath(folder) not in sys.path:
            sys.path.insert(0, os.path.abspath(folder))
    if worker in _UVICORN:
        options = {"timeout_keep_alive": settings.keepalive, "forwarded_allow_ips": settings.forwarded_allow_ips}
        program_module("uvicorn").run(application.wsgi(), host=host, port=port, **options, **_uvicorn_tls(settings))
        return
    in_this_thread = worker == "sync" and settings.workers == 1
    serve_wsgi(program, application.wsgi(), in_this_thread, _tls(settings), _limits(settings))


def _uvicorn_tls(settings: Any) -> dict[str, Any]:
    """Return the same as the options of `uvicorn.run`, as the worker gives them."""
    if not settings.is_ssl:
        return {}
    names = ("keyfile", "certfile", "cert_reqs", "ca_certs", "ciphers")
    return {f"ssl_{name}": settings.ssl_options[name] for name in names if settings.ssl_options.get(name)}


def _tls(settings: Any) -> HttpTls | None:
    if not settings.is_ssl:
        return None
    context = program_module("gunicorn.sock").ssl_context(settings)
    return tls_of_context(context, settings.certfile, settings.keyfile, settings.ca_certs)


def _limits(settings: Any) -> dict[str, Any]:
    """Return the limits that the author has set; 0 means none."""
    names = {"limit_request_line": "url_bytes", "limit_request_fields": "headers", "keepalive": "idle_seconds"}
    chosen = {ours: settings.settings[name] for name, ours in names.items()}
    return {name: each.get() for name, each in chosen.items() if each.get() not in (0, each.default)}
