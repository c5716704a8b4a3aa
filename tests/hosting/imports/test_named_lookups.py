"""Names told to a shared library are found in the service that told them."""

from __future__ import annotations

import importlib
import logging
import logging.config
import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted, Write


def test_a_library_imports_by_name_what_its_service_alone_has(hosted: Hosted, write: Write) -> None:
    """`importlib.import_module` as Django calls it."""
    services = [hosted.add(who, root=write(who, {"settings.py": f"WHO = '{who}'"})) for who in ("one", "two")]
    for service in services:
        assert service.name == hosted.within(service, importlib.import_module, "settings").WHO
    with pytest.raises(ModuleNotFoundError, match="No module named 'settings'"):
        importlib.import_module("settings")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"):
        hosted.within(services[0], importlib.import_module, "no_such_module")
    assert hosted.within(services[0], importlib.import_module, "json") is sys.modules["json"]
    assert "settings" not in sys.modules


def test_flask_reads_its_configuration(hosted: Hosted, write: Write) -> None:
    pytest.importorskip("flask")
    app = """
        import flask
        web = flask.Flask(__name__)
        web.config.from_object("config.Dev")
        web.config.from_object("more.config")
    """
    for who in ("one", "two"):
        files = {"app.py": app, "config.py": f"class Dev:\n    WHO = '{who}'", "more/config.py": f"MORE = '{who}'"}
        config = hosted.load(hosted.add(who, root=write(who, files)), "app:web").config
        assert (config["WHO"], config["MORE"]) == (who, who)


def test_a_logging_configuration_names_the_services_classes(hosted: Hosted, write: Write) -> None:
    formats = "import logging\nclass Short(logging.Formatter):\n    def format(self, record): return '{0}'"
    for who in ("one", "two"):
        service = hosted.add(who, root=write(who, {"own/formats.py": formats.replace("{0}", who)}))
        handler = {"class": "logging.StreamHandler", "formatter": "short"}
        config = {"version": 1, "handlers": {"err": handler}, "root": {"handlers": ["err"]}}
        config["formatters"] = {"short": {"()": "own.formats.Short"}}
        hosted.within(service, logging.config.dictConfig, config)
        hosted.within(service, logging.warning, "hello")
    assert hosted.lines == [("one", "stderr", "one"), ("two", "stderr", "two")]


def test_a_services_pythonpath_is_searched_after_its_roots(hosted: Hosted, write: Write) -> None:
    libs = write("libs", {"common.py": "WHO = 'common'", "app.py": ""})
    root = write("one", {"app.py": "import common\nwho = common.WHO"})
    env = {"PYTHONPATH": os.pathsep.join([str(libs), ""])}
    assert hosted.load(hosted.add("one", env, root), "app:who") == "common"
