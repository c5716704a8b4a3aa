"""A proxy of the environment is for other machines, and not for the services of the mesh."""

from __future__ import annotations

import os
import urllib.request
from typing import TYPE_CHECKING

import pytest

from mesh.hosting.clients.proxies import past_proxies
from mesh.topology.model import Address

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted


def test_where_no_proxy_is_named_nothing_is_added() -> None:
    assert past_proxies({"no_proxy": "x", "http_proxy": ""}, ["users"]) == {}


def test_hosts_and_this_machine_join_what_is_past_the_proxy_already() -> None:
    expected = "example.com,localhost,127.0.0.1,api,users"
    assert past_proxies({"HTTP_PROXY": "http://proxy:1", "NO_PROXY": "example.com"}, ["users", "api", "users"]) == {
        "no_proxy": expected,
        "NO_PROXY": expected,
    }


def test_a_service_asks_another_past_the_proxy(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    hosted.isolation.names.point({("users", 8080): Address("127.0.0.1", 1)})
    one = hosted.add("one")
    assert hosted.within(one, urllib.request.proxy_bypass, "users")
    assert not hosted.within(one, urllib.request.proxy_bypass, "example.com")
    assert not urllib.request.proxy_bypass("users")
