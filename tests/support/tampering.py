"""Altering rows behind the service's back, as somebody who owns the database can"""
import contextlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from .rows import Rows

# The tables that closings seal, or that the history seals with them, each with what finds the rows of closing 2.
SEALED = {
    "history": "closing = 2",
    "posting": "closing = 2",
    "closing": "number = 2",
    "closing_line": "closing = 2",
    "closing_user": "closing = 2",
    "cash_movement": "closing = 2",
    "payment": "TRUE",
    "ticket_payment": "TRUE",
    "refund": "TRUE",
    "open_closing": "TRUE",
}


@contextlib.contextmanager
def without_triggers(rows: Rows) -> Iterator[None]:
    """Switch off triggers, foreign keys and checks, and restore the triggers at the end if nothing failed."""
    if rows.is_sqlite:
        triggers = rows.all("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        for name, _ in triggers:
            rows.execute(f"DROP TRIGGER {name}")
        rows.execute("PRAGMA foreign_keys = off")
        rows.execute("PRAGMA ignore_check_constraints = on")
        yield
        rows.execute("PRAGMA foreign_keys = on")
        rows.execute("PRAGMA ignore_check_constraints = off")
        for _, sql in triggers:
            rows.execute(sql)
        return
    constraints = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype IN ('c', 'f') AND conrelid > 0"
    for table, name in rows.all(constraints):
        rows.execute(f"ALTER TABLE IF EXISTS {table} DROP CONSTRAINT {name}")
    triggers = rows.all("SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE NOT tgisinternal")
    for table, name in triggers:
        rows.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
    yield
    for table, name in triggers:
        rows.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


class Altered:
    """A row of a table, which can be changed or deleted, and put back."""

    def __init__(self, rows: Rows, table: str, row: tuple[Any, ...]) -> None:
        self.rows, self.table, self.row = rows, table, row
        self.columns = columns_of(rows, table)

    def set(self, column: str, value: Any) -> None:
        """Give a column another value."""
        where, values = self._find()
        assert self.rows.execute(f"UPDATE {self.table} SET {column} = ? WHERE {where}", value, *values).rowcount == 1
        self.row = tuple(value if name == column else old for name, old in zip(self.columns, self.row))

    def delete(self) -> None:
        """Delete the row."""
        where, values = self._find()
        assert self.rows.execute(f"DELETE FROM {self.table} WHERE {where}", *values).rowcount == 1

    def put_back(self) -> None:
        """Insert the row again."""
        self.rows.insert(self.table, dict(zip(self.columns, self.row)))

    def _find(self) -> tuple[str, tuple[Any, ...]]:
        where = " AND ".join(
            f"{name} = ?" if value is not None else f"{name} IS NULL" for name, value in zip(self.columns, self.row)
        )
        return where, tuple(value for value in self.row if value is not None)


def sealed_rows(rows: Rows, table: str) -> list[Altered]:
    """Return the rows of a table that are sealed."""
    return [Altered(rows, table, row) for row in rows.all(f"SELECT * FROM {table} WHERE {SEALED[table]} ORDER BY 1, 2")]


def columns_of(rows: Rows, table: str) -> list[str]:
    """Return the names of a table's columns."""
    return [column[0] for column in rows.execute(f"SELECT * FROM {table} LIMIT 0").description]


def alter(value: Any, column: str) -> Any:
    """Return another value of the same kind."""
    if value is None:
        return 7 if column in ("history_id", "counted") else "7" * (64 if column == "previous_hash" else 32)
    if column == "cash":
        return not value
    if isinstance(value, int):
        # No other row has it.
        return value + 1000
    if isinstance(value, UUID):
        return UUID(int=value.int + 1000)
    if isinstance(value, (date, datetime)):
        return value + timedelta(days=1)
    # The last digit, or else the last letter.
    digits = [position for position, character in enumerate(value) if character.isdigit()]
    position = max(digits, default=len(value) - 1)
    other = "4" if value[position] == "7" else "7"
    return f"{value[:position]}{other}{value[position + 1:]}"
