"""A logger keeps its levels in `_cache`, and the manager what `logging.disable()` has set in `_disable`."""

from __future__ import annotations

import logging

from mesh.compat.logging import DISABLED_LEVEL, LEVEL_CACHE


def test_a_logger_remembers_in_its_cache_for_which_levels_it_is_enabled_until_a_level_is_set() -> None:
    logger = logging.Logger("cached", logging.WARNING)
    assert not logger.isEnabledFor(logging.INFO)
    assert vars(logger)[LEVEL_CACHE] == {logging.INFO: False}
    vars(logger)[LEVEL_CACHE][logging.INFO] = True
    assert logger.isEnabledFor(logging.INFO)
    named = logging.getLogger("tests.compat")
    assert not named.isEnabledFor(logging.DEBUG)
    logging.getLogger("tests").setLevel(logging.NOTSET)
    assert vars(named)[LEVEL_CACHE] == {}


def test_what_is_disabled_for_all_loggers_is_kept_by_the_manager() -> None:
    manager = logging.Logger.manager
    try:
        logging.disable(logging.INFO)
        assert vars(manager)[DISABLED_LEVEL] == manager.disable == logging.INFO
    finally:
        logging.disable(logging.NOTSET)
    assert vars(manager)[DISABLED_LEVEL] == logging.NOTSET
