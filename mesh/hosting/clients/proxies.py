"""Keeps services' calls to each other away from the proxy that the environment sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def past_proxies(environ: Mapping[str, str], hosts: Iterable[str]) -> dict[str, str]:
    """Return variables that bypass a proxy for these hosts and this machine; none if no proxy is set."""
    if not any(environ.get(name) or environ.get(name.upper()) for name in _PROXIES):
        return {}
    known = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    value = ",".join(dict.fromkeys([*filter(None, known.split(",")), "localhost", "127.0.0.1", *sorted(set(hosts))]))
    return {"no_proxy": value, "NO_PROXY": value}
