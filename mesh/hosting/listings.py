"""Which modules a folder can hold, by the names of its files: a cheap no for the many that it does not."""

from __future__ import annotations

import os


class Listings:
    """Of each folder, what its names begin with; read again when the folder has changed."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[int, frozenset[str]]] = {}

    def may_hold(self, folder: str, module: str) -> bool:
        """False only for a folder with no file or folder `module` or `module.…`; whatever is no folder may hold it."""
        try:
            changed = os.stat(folder).st_mtime_ns
            known = self._read.get(folder)
            if known is None or known[0] != changed:
                known = changed, frozenset(name.partition(".")[0] for name in os.listdir(folder))
                self._read[folder] = known
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return module in known[1]
