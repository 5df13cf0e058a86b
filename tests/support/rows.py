"""A test's own connection to the database of the service"""
import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import psycopg


class Rows:
    """A connection to the database of the service through its driver, without Peewee."""

    Rejected = (sqlite3.IntegrityError, psycopg.IntegrityError)

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite:")
        if self.is_sqlite:
            self.connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            self.connection.execute("PRAGMA foreign_keys = on")
        else:
            self.connection = psycopg.connect(url, autocommit=True)

    def execute(self, sql: str, *values: Any) -> Any:
        """Run a statement, with `?` for each value."""
        return self.connection.execute(sql if self.is_sqlite else sql.replace("?", "%s"), values)

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.execute(sql).fetchall()

    def insert(self, table: str, *inserted: dict[str, Any]) -> None:
        """Insert rows of the same columns, all or none."""
        placeholders = ", ".join(["?" if self.is_sqlite else "%s"] * len(inserted[0]))
        sql = f"INSERT INTO {table} ({', '.join(inserted[0])}) VALUES ({placeholders})"
        self.execute("BEGIN")
        try:
            self.connection.cursor().executemany(sql, [tuple(row.values()) for row in inserted])
            self.execute("COMMIT")
        except self.Rejected:
            self.execute("ROLLBACK")
            raise

    def lock(self) -> None:
        """Block the service's writes of payments until `unlock`."""
        if self.is_sqlite:
            self.execute("BEGIN IMMEDIATE")
        else:
            self.execute("BEGIN")
            self.execute("LOCK TABLE payment IN EXCLUSIVE MODE")

    def unlock(self) -> None:
        """Let the service write again."""
        self.execute("ROLLBACK")


def stored(value: Any) -> Any:
    """Return an id as SQLite stores it, which PostgreSQL accepts too. Return anything else unchanged."""
    return value.replace("-", "") if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(value)) else value


def load_first_release(url: str) -> None:
    """Load a dump of the first release into an empty database."""
    name = "sqlite.sql" if url.startswith("sqlite:") else "postgresql.sql"
    sql = (Path(__file__).parent / "first_release" / name).read_text()
    if url.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(sql)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql)
