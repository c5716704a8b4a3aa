"""Logging as each service configures it, on loggers that all share."""

from __future__ import annotations

import logging
import logging.config
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.hosting.conftest import Neighbours

DICT = {
    "version": 1,
    "formatters": {"short": {"format": "D %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "short", "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["out"], "level": "WARNING"},
}


def test_each_service_has_its_own_format_and_level(neighbours: Neighbours) -> None:
    """And no record is printed twice because another service has a handler too."""
    one, two, three = (neighbours.add(name) for name in ("one", "two", "three"))
    mesh_handlers = list(logging.getLogger().handlers)
    neighbours.within(one, logging.basicConfig, level=logging.DEBUG, format="%(levelname)s %(message)s")
    neighbours.within(two, logging.basicConfig, level=logging.INFO, format="2: %(message)s", force=True)
    neighbours.within(three, logging.config.dictConfig, DICT)
    shared = logging.getLogger("a.third.party")
    for service in (one, two, three):
        for say in (shared.debug, shared.info, shared.warning):
            neighbours.within(service, say, "hello")
    assert neighbours.lines == [
        ("one", "stderr", "DEBUG hello"),
        ("one", "stderr", "INFO hello"),
        ("one", "stderr", "WARNING hello"),
        ("two", "stderr", "2: hello"),
        ("two", "stderr", "2: hello"),
        ("three", "stdout", "D hello"),
    ]
    assert logging.getLogger().handlers == mesh_handlers


def test_an_unconfigured_service_prints_warnings_as_python_does(neighbours: Neighbours) -> None:
    one = neighbours.add("one")
    neighbours.within(one, logging.getLogger("app").info, "quiet")
    neighbours.within(one, logging.getLogger("app").warning, "loud")
    assert neighbours.lines == [("one", "stderr", "loud")]


def test_disabling_existing_loggers_and_closing_handlers_reaches_no_neighbour(neighbours: Neighbours) -> None:
    one, two = neighbours.add("one"), neighbours.add("two")
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
    neighbours.within(one, logger.addHandler, theirs)
    neighbours.within(two, logging.config.dictConfig, DICT)
    neighbours.within(two, logging.shutdown)
    neighbours.within(two, logging.disable)
    assert not mine.closed
    assert not theirs.closed
    neighbours.within(two, logger.error, "disabled")
    neighbours.within(one, logger.error, "one")
    logger.error("mesh")
    logger.removeHandler(mine)
    assert seen == ["one", "mesh"]
    neighbours.close()
    assert theirs.closed


def test_a_logger_made_after_dict_config_is_enabled_though_a_neighbour_had_made_it(neighbours: Neighbours) -> None:
    """`disable_existing_loggers` is on unless it is turned off."""
    one, two = neighbours.add("one"), neighbours.add("two")
    for name in ("views", "views.made"):
        neighbours.within(one, logging.getLogger, name)
    before = neighbours.within(two, logging.getLogger, "views.made")
    neighbours.within(two, logging.config.dictConfig, DICT)
    neighbours.within(two, before.error, "made before")
    neighbours.within(two, logging.getLogger("views").error, "made before by the neighbour only")
    after = neighbours.within(two, logging.getLogger, "views")
    neighbours.within(two, after.error, "made after")
    assert neighbours.lines == [("two", "stdout", "D made after")]


def test_a_new_generation_begins_without_the_old_ones_handlers(neighbours: Neighbours) -> None:
    for number in (1, 2, 3):
        service = neighbours.add("one")
        neighbours.within(service, logging.basicConfig, format=f"{number} %(message)s")
        neighbours.within(service, logging.warning, "hello")
    assert [text for _, _, text in neighbours.lines] == ["1 hello", "2 hello", "3 hello"]
