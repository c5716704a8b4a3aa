"""A service's embedded SQLite database."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from mesh import Code, MeshError, StatusError, current_service
from mesh.store.once import Once
from mesh.store.tables import Tables, version_of

#: Seconds a statement waits for another program that holds the database.
BUSY = 2.0

_ADVICE = "move it away, or give another --data"
#: The files of a database in use: committed rows may be in any of them.
_FILES = ("", "-wal", "-shm")

_log = logging.getLogger(__name__)


class Inserted(NamedTuple):
    """The row for a request; is_new is False if an earlier request with the same key inserted it."""

    id: int
    is_new: bool


class Database:
    """One connection behind one lock: a service's writers queue for it and never meet in SQLite.

    tables: created in a new database; reset() restores their initial content.
    """

    def __init__(self, path: Path | None, tables: Tables) -> None:
        self._path = path
        self._tables = tables
        self._lock = threading.Lock()
        self._problem: str | None = None
        try:
            self._connection = self._open()
            self._files = self._found_files()
        except sqlite3.DatabaseError as error:
            raise MeshError(f"the database {self._where} cannot be opened: {error}; {_ADVICE}") from error
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
            raise MeshError(f"the database {self._where} cannot be made: {reason}; give another --data") from error

    @classmethod
    def of_current_service(cls, tables: Tables) -> Database:
        """Return `<service>.db` in the data folder of the current service, closed and reset with it."""
        service = current_service()
        # The previous generation may have open files that were deleted since. Save their content and move the remaining
        # files out of the way first, or SQLite would treat those as part of the new database.
        if (previous := service.state.get("database")) is not None:
            previous.save_lost()
        database = cls(service.data / f"{service.name}.db" if service.data else None, tables)
        service.state["database"] = database
        service.on_stop(database.close)
        service.on_reset(database.reset)
        return database

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._held(writes=False) as connection:
            return connection.execute(statement, values).fetchall()

    def insert(self, statement: str, values: Sequence[Any] | Mapping[str, Any], once: Once | None = None) -> Inserted:
        """Run one INSERT in a transaction.

        once: the key and the content of the request. A second request with the key inserts nothing and gets the id of
            the first; raises StatusError ALREADY_EXISTS if its content differs.
        """
        with self._held() as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                if once is not None and (known := once.known(connection)) is not None:
                    return Inserted(known, is_new=False)
                new = connection.execute(statement, values).lastrowid or 0
                if once is not None:
                    once.note(connection, new)
                return Inserted(new, is_new=True)

    def inserted(self, once: Once) -> int | None:
        """Return the id of the row that an earlier request with this key inserted."""
        with self._held() as connection:
            return once.known(connection)

    def reset(self) -> None:
        """Empty every table and restore its initial content."""
        with self._held() as connection:
            self._tables.recreate(connection)

    def save_lost(self) -> None:
        """Save what the connection holds of a deleted or replaced file, unless that was done before."""
        with contextlib.suppress(StatusError, sqlite3.Error), self._held():
            pass

    def close(self) -> None:
        self.save_lost()
        with self._lock:
            self._connection.close()
            self._files = frozenset()  # they may be closed from here on

    @contextmanager
    def _held(self, writes: bool = True) -> Iterator[sqlite3.Connection]:
        """Hold the connection for this thread alone.

        A locked database or a full disk becomes UNAVAILABLE, a damaged file DATA_LOSS. The files are checked
        afterwards, since rows written to a file that has been deleted must not be reported as stored, and before a
        write, which is not to be made in vain.
        """
        # While one statement waits for another program, the others must not queue longer than it does.
        if not self._lock.acquire(timeout=BUSY):
            raise StatusError(Code.UNAVAILABLE, f"the database has been busy for {BUSY:g} s")
        try:
            if writes:
                self._check()
            yield self._connection
            self._check()
        except sqlite3.OperationalError as error:
            raise StatusError(Code.UNAVAILABLE, f"the database cannot answer: {error}") from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise  # an error in our own statement
            raise StatusError(Code.DATA_LOSS, f"the database {self._where} is damaged: {error}; {_ADVICE}") from error
        finally:
            self._lock.release()

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            _make_private(self._path)
        connection = sqlite3.connect(
            self._path or ":memory:", timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables if there are none; sqlite3.DatabaseError for a foreign or damaged file."""
        connection.row_factory = sqlite3.Row
        if self._path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
            if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found.splitlines()[-1])
        connection.execute("PRAGMA synchronous = NORMAL")
        self._tables.prepare(connection)

    def _check(self) -> None:
        """Raise UNAVAILABLE if the files are not those that were opened, or now hold another version."""
        problem = None
        if self._path is not None and (missing := self._files - self._found_files()):
            problem = self._problem or self._rescue(min(missing)[0])
        elif self._path is not None and (found := version_of(self._connection)) != self._tables.version:
            version = self._tables.version
            problem = f"the database {self._where} now has version {found}, but this service needs {version}; {_ADVICE}"
        if problem and problem != self._problem:
            _log.error("%s", problem)
        self._problem = problem
        if problem:
            raise StatusError(Code.UNAVAILABLE, problem)

    def _rescue(self, lost: str) -> str:
        """Save the content of the open connection; return what has happened, and the way out."""
        copy = Path(f"{self._path}.rescued-{datetime.now():%Y%m%d-%H%M%S-%f}")
        try:
            _make_private(copy)
            self._connection.execute("VACUUM INTO ?", (str(copy),))
            way = f"its content is saved as {copy}; move that to {self._path} to keep it, then restart the service"
        except (OSError, sqlite3.Error) as error:
            with contextlib.suppress(OSError):
                copy.unlink(missing_ok=True)
            way = f"its content could not be saved ({error}); restart the service"
        else:
            # At the next start SQLite would apply the rest of the old log to whatever database it finds beside it.
            for path, *_ in self._files & self._found_files():
                if path != str(self._path):
                    os.unlink(path)
        return f"the database {lost} was deleted or replaced while in use; {way}"

    def _found_files(self) -> frozenset[tuple[str, int, int]]:
        """Return path, device and inode of each of the database's existing files."""
        found = set()
        for path in (f"{self._path}{suffix}" for suffix in _FILES if self._path is not None):
            with contextlib.suppress(OSError):
                status = os.stat(path)
                found.add((path, status.st_dev, status.st_ino))
        return frozenset(found)

    @property
    def _where(self) -> str:
        return str(self._path) if self._path is not None else "in memory"


def _make_private(path: Path) -> None:
    """Create the file and missing folders for this user alone; SQLite gives its other files the same mode.

    An existing file is not even opened: closing it would release the locks that this process holds on it for
    another generation of the service, and a program that then opens and closes the database would remove the
    write-ahead log away.
    """
    for folder in reversed(path.parents):
        folder.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
