"""The same metric's name in two services, and again after a reload."""

from __future__ import annotations

import importlib
import weakref
from typing import TYPE_CHECKING

from tests.support.garbage import settled

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted, Write

APP = """
    from prometheus_client import Counter, generate_latest, REGISTRY
    requests = Counter("requests", "How many")
    requests.inc({0})
    text = generate_latest().decode()
    value = REGISTRY.get_sample_value("requests_total")
"""


def test_each_generation_has_its_own_default_registry(hosted: Hosted, write: Write) -> None:
    prometheus = importlib.import_module("prometheus_client")
    patched = type(prometheus.REGISTRY)
    for name, count in (("one", 1), ("two", 2), ("two", 3)):
        service = hosted.add(name, root=write(f"{name}{count}", {"app.py": APP.format(count)}))
        assert hosted.load(service, "app:value") == count
        text = hosted.load(service, "app:text")
        assert f"requests_total {count}.0" in text
        assert "python_info" in text
    assert prometheus.REGISTRY.get_sample_value("requests_total") is None
    old = weakref.ref(hosted.load(service, "app:requests"))
    hosted.close()
    assert settled(old) is None
    hosted.isolation.uninstall()
    assert type(prometheus.REGISTRY) is not patched
    hosted.isolation.install()
