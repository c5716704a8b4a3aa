"""The tables of a database, their version, and the migrations from older versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mesh.store.once import ONCE_SCHEMA

#: The version of databases written before there were versions; SQLite has 0 for a new file.
_UNNUMBERED = 1


class Tables:
    """The tables that a service expects in its database.

    create: statements that create the tables, followed by those that fill them for the first time.
    migrations: statements that lead from version 1 to 2, from 2 to 3, and so on; `create` makes the latest version.
    """

    def __init__(self, create: str, migrations: Sequence[str] = ()) -> None:
        self.version = _UNNUMBERED + len(migrations)
        self._create = ONCE_SCHEMA + create
        self._migrations = migrations
        with sqlite3.connect(":memory:") as example:
            example.executescript(self._create)
            self._columns = _columns(example)
        example.close()

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables if there are none, or migrate older ones to this version, in one transaction.

        Raises sqlite3.DatabaseError for tables of a newer version, or of another program.
        """
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            if _columns(connection):
                self._migrate(connection)
            else:
                _run(connection, self._create)
            connection.execute(f"PRAGMA user_version = {self.version}")
            if missing := sorted(self._columns - _columns(connection)):
                raise sqlite3.DatabaseError(f"it is of another service or version: column {missing[0]} is missing")

    def recreate(self, connection: sqlite3.Connection) -> None:
        """Drop every table, and create and fill them again."""
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        drops = [f'DROP TABLE "{row[0]}";' for row in connection.execute(tables)]
        connection.executescript("".join(["BEGIN;", *drops, self._create, "COMMIT;"]))

    def _migrate(self, connection: sqlite3.Connection) -> None:
        found = version_of(connection) or _UNNUMBERED
        if found > self.version:
            raise sqlite3.DatabaseError(
                f"it has version {found}, but this mesh knows up to {self.version}: a newer mesh has written it"
            )
        for number, step in enumerate(self._migrations, start=_UNNUMBERED):
            if number >= found:
                _run(connection, step)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the database's version; 0 if none is written."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _columns(connection: sqlite3.Connection) -> frozenset[str]:
    """Return `table.column` of every column."""
    select = """
        SELECT tables.name || '.' || columns.name
        FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
        WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'
    """
    return frozenset(row[0] for row in connection.execute(select))


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run statements in the open transaction; executescript() would commit it first."""
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
