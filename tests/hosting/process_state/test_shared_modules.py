"""Attributes of the standard library that a service replaces are named, with the service and the place."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted, Write

PATCHES = """\
import json
import socket
import time


def default(self, value):
    return str(value)


json.JSONEncoder.default = default
time.time = lambda: 0.0
socket.own = 1
"""


def test_what_a_service_replaces_is_named_once_with_the_line_that_it_became(
    hosted: Hosted, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((json.JSONEncoder, "default"), (time, "time")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back after the test
    monkeypatch.setattr(socket, "own", 0, raising=False)
    hosted.isolation.uninstall()
    hosted.isolation.install()
    root = write("one", {"app.py": PATCHES})
    one, other = hosted.add("one", root=root), hosted.add("other")
    hosted.load(one, "app:default")
    for service in (one, one, other):
        hosted.isolation.service_loaded(service)
    shared = 'for every service of this process; isolation = "process" gives this one its own'
    assert sorted(text for service, stream, text in hosted.lines if (service, stream) == ("one", "mesh")) == [
        f"json.JSONEncoder.default was replaced by {root}/app.py:6 while the service was loaded, {shared}",
        f"socket.own was replaced while the service was loaded, {shared}",
        f"time.time was replaced by {root}/app.py:11 while the service was loaded, {shared}",
    ]
    assert len(hosted.lines) == 3


LATER = """\
import json
import time


class Encoder(json.JSONEncoder):
    def default(self, value):
        return str(value)


def freeze():
    time.time = frozen
    json.JSONEncoder = Encoder


def frozen():
    return 0.0
"""


def test_what_a_handler_replaces_is_named_with_the_service_whose_code_it_is(
    hosted: Hosted, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((json, "JSONEncoder"), (time, "time")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back after the test
    hosted.isolation.uninstall()
    hosted.isolation.install()
    root = write("one", {"app.py": LATER})
    one, other = hosted.add("one", root=root), hosted.add("other")
    freeze = hosted.load(one, "app:freeze")
    hosted.isolation.service_loaded(one)
    freeze()
    for _ in range(2):
        hosted.isolation.look()
    hosted.isolation.service_loaded(other)
    shared = 'for every service of this process; isolation = "process" gives this one its own'
    assert hosted.lines == [
        ("one", "mesh", f"json.JSONEncoder was replaced, {shared}"),
        ("one", "mesh", f"time.time was replaced by {root}/app.py:15, {shared}"),
    ]


def test_what_a_test_replaces_is_no_services_doing(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    hosted.isolation.look()
    assert hosted.lines == []
