"""Attributes of the standard library's loggers that hold their configuration under private names."""

from __future__ import annotations

#: Of Logger: by level, whether the logger is enabled for it. `setLevel` clears it for every logger.
LEVEL_CACHE = "_cache"
#: Of Manager: the level that `logging.disable()` has set, behind the public property `disable`.
DISABLED_LEVEL = "_disable"
