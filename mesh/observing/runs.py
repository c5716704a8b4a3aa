"""Recorded runs: a SQLite file for each, under `.mesh/runs/`, written while mesh runs and readable at any time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

from mesh.observing.journal import Change, Entry, Hold, Line
from mesh.observing.span import Span
from mesh.state_folder import state_folder

#: Runs that are kept of a project.
KEPT_RUNS = 10
#: Bytes that a run's file may take; beyond them its oldest entries go.
MAX_FILE_BYTES = 128 * 1024 * 1024
#: SQLite takes 32,766 values in a statement, and compiles one of this length once.
ROWS_OF_A_STATEMENT = 100

_KINDS: tuple[type[Entry], ...] = (Span, Line, Change, Hold)
_TYPES = {"int": "INTEGER", "bool": "INTEGER", "float": "REAL", "bytes": "BLOB"}
_COLUMNS = {kind: kind.__struct_fields__ for kind in _KINDS}
_VALUES = {kind: attrgetter(*names) for kind, names in _COLUMNS.items()}


def run_files(project: Path) -> list[Path]:
    """Return the files of the project's recorded runs, the newest first."""
    return sorted((project / ".mesh" / "runs").glob("*.db"), reverse=True)


def remove_run(file: Path) -> None:
    """Delete a run's file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{file}{suffix}")


def new_run(project: Path) -> Path:
    """Create an empty file for a run that begins, readable for its user alone, and remove the oldest of too many."""
    folder = state_folder(project) / "runs"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.db"
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    for old in run_files(project)[KEPT_RUNS:]:
        if not _is_in_use(old):
            remove_run(old)
    return file


def _is_in_use(file: Path) -> bool:
    """Return whether the process that began the run may still be writing it."""
    try:
        os.kill(int(file.stem.rpartition("-")[2]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True


class RunFile:
    """The entries of one run in their order, as `(number, entry)`. Used by one thread."""

    def __init__(self, file: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._database = sqlite3.connect(file, timeout=5, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        # A transaction survives the end of the process; only the machine's own end may take the last ones.
        self._database.execute("PRAGMA synchronous = NORMAL")
        for kind in _KINDS:
            columns = ", ".join(f"{name} {_TYPES.get(kind.__annotations__[name], 'TEXT')}" for name in _COLUMNS[kind])
            # No index for traces: it would be a third of what writing a call takes, and saves a reader milliseconds.
            self._database.execute(f"CREATE TABLE IF NOT EXISTS {_table(kind)} (number INTEGER PRIMARY KEY, {columns})")
        self._database.execute("CREATE TABLE IF NOT EXISTS lost (entries INTEGER)")

    def write(self, numbered: list[tuple[int, Entry]], lost: int = 0) -> None:
        """Add the entries, and the number of those that could not be kept, in one transaction."""
        self._database.execute("BEGIN")
        try:
            for kind in _KINDS:
                rows = [(number, *_VALUES[kind](entry)) for number, entry in numbered if type(entry) is kind]
                self._insert(kind, rows)
            if lost:
                self._database.execute("INSERT INTO lost VALUES (?)", (lost,))
            self._trim()
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _insert(self, kind: type[Entry], rows: list[tuple[Any, ...]]) -> None:
        """Insert the rows, many with one statement: each statement lets go of the GIL, and must get it back."""
        marks = f"({', '.join('?' * (len(_COLUMNS[kind]) + 1))})"
        insert = f"INSERT OR REPLACE INTO {_table(kind)} VALUES "
        whole = len(rows) - len(rows) % ROWS_OF_A_STATEMENT
        for first in range(0, whole, ROWS_OF_A_STATEMENT):
            values = chain.from_iterable(rows[first : first + ROWS_OF_A_STATEMENT])
            self._database.execute(insert + ", ".join([marks] * ROWS_OF_A_STATEMENT), tuple(values))
        self._database.executemany(insert + marks, rows[whole:])

    def _trim(self) -> None:
        """Remove the oldest tenth where the file is full; SQLite uses its room again."""
        if self._pragma("page_count") - self._pragma("freelist_count") <= self._max_bytes // self._pragma("page_size"):
            return
        numbers = " UNION ALL ".join(f"SELECT number FROM {_table(kind)}" for kind in _KINDS)
        oldest, newest = self._database.execute(f"SELECT MIN(number), MAX(number) FROM ({numbers})").fetchone()
        limit = oldest + max(1, (newest - oldest) // 10)
        for kind in _KINDS:
            self._database.execute(f"DELETE FROM {_table(kind)} WHERE number <= ?", (limit,))

    def _pragma(self, name: str) -> int:
        return int(self._database.execute(f"PRAGMA {name}").fetchone()[0])

    def entries(
        self, trace: str | None = None, after: int = 0, limit: int | None = None
    ) -> Iterator[tuple[int, Entry]]:
        """Yield all entries, or the calls and lines of one trace, of which the first digits are enough.

        after: a number; what came up to it is left out. limit: how many at most, the oldest.
        """
        found: list[tuple[int, Entry]] = []
        for kind in _KINDS:
            if trace is not None and kind in (Change, Hold):
                continue
            where = "" if trace is None else " AND trace_id >= ? AND trace_id < ?"
            given = (after,) if trace is None else (after, trace, f"{trace}g")  # "g" comes after every digit.
            query = f"SELECT * FROM {_table(kind)} WHERE number > ?{where} ORDER BY number LIMIT ?"
            for number, *values in self._database.execute(query, (*given, -1 if limit is None else limit)):
                found.append((number, _made(kind, values)))
        yield from sorted(found, key=lambda each: each[0])[:limit]

    def lost(self) -> int:
        """Return how many entries came faster than they could be written."""
        return int(self._database.execute("SELECT COALESCE(SUM(entries), 0) FROM lost").fetchone()[0])

    def close(self) -> None:
        self._database.close()


def _table(kind: type[Entry]) -> str:
    return kind.__name__.lower()


def _made(kind: Any, values: list[Any]) -> Entry:
    entry: Entry = kind(*values)
    if isinstance(entry, Span):
        entry.is_root = bool(entry.is_root)
    return entry
