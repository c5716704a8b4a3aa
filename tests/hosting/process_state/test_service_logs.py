"""Logging as each service configures it, on loggers that all share."""

from __future__ import annotations

import logging
import logging.config
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted

DICT = {
    "version": 1,
    "formatters": {"short": {"format": "D %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "short", "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["out"], "level": "WARNING"},
}


def test_each_service_has_its_own_format_and_level(hosted: Hosted) -> None:
    """And no record is printed twice because another service has a handler too."""
    one, two, three = (hosted.add(name) for name in ("one", "two", "three"))
    mesh_handlers = list(logging.getLogger().handlers)
    hosted.within(one, logging.basicConfig, level=logging.DEBUG, format="%(levelname)s %(message)s")
    hosted.within(two, logging.basicConfig, level=logging.INFO, format="2: %(message)s", force=True)
    hosted.within(three, logging.config.dictConfig, DICT)
    shared = logging.getLogger("a.third.party")
    for service in (one, two, three):
        for say in (shared.debug, shared.info, shared.warning):
            hosted.within(service, say, "hello")
    assert hosted.lines == [
        ("one", "stderr", "DEBUG hello"),
        ("one", "stderr", "INFO hello"),
        ("one", "stderr", "WARNING hello"),
        ("two", "stderr", "2: hello"),
        ("two", "stderr", "2: hello"),
        ("three", "stdout", "D hello"),
    ]
    assert logging.getLogger().handlers == mesh_handlers


def test_an_unconfigured_service_prints_warnings_as_python_does(hosted: Hosted) -> None:
    one = hosted.add("one")
    hosted.within(one, logging.getLogger("app").info, "quiet")
    hosted.within(one, logging.getLogger("app").warning, "loud")
    assert hosted.lines == [("one", "stderr", "loud")]


def test_disabling_existing_loggers_and_closing_handlers_affects_no_other_service(hosted: Hosted) -> None:
    one, two = hosted.add("one"), hosted.add("two")
    logger, seen = logging.getLogger("app"), []

    class Keeping(logging.Handler):
        closed = False

        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

        def close(self) -> None:
            self.closed = True
            super().close()

    mine, theirs = Keeping(), Keeping()
    logger.addHandler(mine)
    hosted.within(one, logger.addHandler, theirs)
    hosted.within(two, logging.config.dictConfig, DICT)
    hosted.within(two, logging.shutdown)
    hosted.within(two, logging.disable)
    assert not mine.closed
    assert not theirs.closed
    hosted.within(two, logger.error, "disabled")
    hosted.within(one, logger.error, "one")
    logger.error("mesh")
    logger.removeHandler(mine)
    assert seen == ["one", "mesh"]
    hosted.close()
    assert theirs.closed


def test_a_logger_made_after_dict_config_is_enabled_though_another_had_made_it(hosted: Hosted) -> None:
    """`disable_existing_loggers` is on unless it is turned off."""
    one, two = hosted.add("one"), hosted.add("two")
    for name in ("views", "views.made"):
        hosted.within(one, logging.getLogger, name)
    before = hosted.within(two, logging.getLogger, "views.made")
    hosted.within(two, logging.config.dictConfig, DICT)
    hosted.within(two, before.error, "made before")
    hosted.within(two, logging.getLogger("views").error, "made before by the other only")
    after = hosted.within(two, logging.getLogger, "views")
    hosted.within(two, after.error, "made after")
    assert hosted.lines == [("two", "stdout", "D made after")]


def test_a_new_generation_begins_without_the_old_ones_handlers(hosted: Hosted) -> None:
    for number in (1, 2, 3):
        service = hosted.add("one")
        hosted.within(service, logging.basicConfig, format=f"{number} %(message)s")
        hosted.within(service, logging.warning, "hello")
    assert [text for _, _, text in hosted.lines] == ["1 hello", "2 hello", "3 hello"]
