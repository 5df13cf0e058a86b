"""Copying a SQLite database to an empty PostgreSQL database."""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import peewee
from playhouse.migrations import Runner

from ..backups import Progress
from ..database import current, pending_migrations
from ..database.locks import folder_lock, is_open_elsewhere
from ..database.migrating import MIGRATIONS
from ..database.sqlite import Sqlite
from ..errors import UnusableDatabase
from ..metrics import Metrics
from ..models import Currency, Method, OpenClosing, Table, TimestampField

if TYPE_CHECKING:
    from ..database.postgresql import Postgresql

# Tables that a migration fills: their rows are replaced.
SEEDED = (Method, Currency, OpenClosing)
# Rows between two reports of progress.
ROWS_PER_STEP = 10_000
DIGEST_SIZE = 2**256


def copy_to(url: str, progress: Progress) -> dict[str, int]:
    """Copy every table of the current application's SQLite database to PostgreSQL; return the rows by table.

    Everything is one transaction of the target, and each table is compared row by row before it commits. Raises
    `UnusableDatabase` if the source is in use or not up to date, or if the target holds records.
    """
    # Imported here, because a service on SQLite does without psycopg: see wsgi.py.
    from ..database.postgresql import Postgresql

    source = current.obj
    if not isinstance(source, Sqlite) or not source.exists():
        raise UnusableDatabase("there is no SQLite database to copy: PAYMENTS_DATABASE_URL has to name it")
    if is_open_elsewhere(source.path):
        raise UnusableDatabase("the database is in use: stop the service first")
    if not url.startswith("postgresql:"):
        raise UnusableDatabase(f"{url} is not a PostgreSQL database")
    target = Postgresql(url, connections=1, metrics=Metrics())
    # Nobody can start the service meanwhile: its start takes the same lock.
    with folder_lock(source.path.parent):
        if pending := pending_migrations():
            raise UnusableDatabase(f"the database is not up to date, {', '.join(pending)} is missing: run migrate")
        try:
            with target.connection_context(), target.migrating():
                _prepare(target)
                tables = _list_tables()
                return {table._meta.table_name: _copy_table(table, source, target, progress) for table in tables}
        finally:
            target.close_idle()


def _list_tables() -> list[type[Table]]:
    """Return all tables, each after those that it refers to."""
    return list(peewee.sort_models(Table.__subclasses__()))


def _prepare(target: Postgresql) -> None:
    """Migrate the target and empty its seeded tables; raises `UnusableDatabase` if it holds records."""
    runner = Runner(target, str(MIGRATIONS))
    if unknown := [migration.name for migration in runner.status() if migration.path is None]:
        raise UnusableDatabase(f"{target.location} was used by a newer release, with {', '.join(unknown)}")
    runner.up()
    for table in reversed(_list_tables()):
        name = table._meta.table_name
        target.execute_sql(f'LOCK TABLE "{name}" IN ACCESS EXCLUSIVE MODE')
        if table in SEEDED:
            target.execute_sql(f'DELETE FROM "{name}"')
        elif target.execute_sql(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone():
            raise UnusableDatabase(f"{target.location} holds records in {name}: copy to an empty database")


def _copy_table(table: type[Table], source: Sqlite, target: Postgresql, progress: Progress) -> int:
    """Copy a table, compare the copy with it, and return how many rows it has."""
    name, fields = table._meta.table_name, table._meta.sorted_fields
    columns = ", ".join(f'"{field.column_name}"' for field in fields)
    total = int(source.execute_sql(f'SELECT count(*) FROM "{name}"').fetchone()[0])
    read = Digest(_read_sqlite(field) for field in fields)
    with target.connection().cursor() as cursor:
        with cursor.copy(f'COPY "{name}" ({columns}) FROM STDIN') as copy:
            for row in source.execute_sql(f'SELECT {columns} FROM "{name}"'):
                copy.write_row(row)
                read.add(row)
                if read.count % ROWS_PER_STEP == 0:
                    progress(f"Copying {name}", read.count, total)
        written = Digest(str for _ in fields)
        selected = ", ".join(_select_postgresql(field) for field in fields)
        with cursor.copy(f'COPY (SELECT {selected} FROM "{name}") TO STDOUT') as copy:
            for row in copy.rows():
                written.add(row)
                if written.count % ROWS_PER_STEP == 0:
                    progress(f"Comparing {name}", written.count, total)
    if (read.count, read.sum) != (written.count, written.sum):
        raise UnusableDatabase(f"the copy of {name} differs, so nothing was copied: {read.count}, {written.count} rows")
    for field in fields:
        if isinstance(field, peewee.AutoField):
            sequence = f"pg_get_serial_sequence('\"{name}\"', '{field.column_name}')"
            highest = f'SELECT max("{field.column_name}") AS id FROM "{name}"'
            target.execute_sql(f"SELECT setval({sequence}, id) FROM ({highest}) AS highest WHERE id IS NOT NULL")
    return read.count


class Digest:
    """Counts rows and adds up their hashes, so that the order of rows does not matter."""

    def __init__(self, readers: Iterable[Callable[[Any], str]]) -> None:
        self.readers = list(readers)
        self.count = 0
        self.sum = 0

    def add(self, row: Iterable[Any]) -> None:
        """Add a row. Values are escaped, so that no two different rows are the same text."""
        values = [r"\N" if value is None else read(value) for read, value in zip(self.readers, row)]
        text = "\t".join(value.replace("\\", "\\\\").replace("\t", "\\t") for value in values)
        self.count += 1
        self.sum = (self.sum + int.from_bytes(hashlib.sha256(text.encode()).digest())) % DIGEST_SIZE


def _read_sqlite(field: peewee.Field) -> Callable[[Any], str]:
    """Return what makes comparable text of a stored value."""
    if isinstance(field, TimestampField):
        return lambda value: str(field.db_value(field.python_value(value)))
    return str


def _select_postgresql(field: peewee.Field) -> str:
    """Return the SQL of a column as the text that SQLite stores."""
    column = f'"{field.column_name}"'
    stored = field.rel_field if isinstance(field, peewee.ForeignKeyField) else field
    if isinstance(stored, peewee.UUIDField):
        return f"replace({column}::text, '-', '')"
    if isinstance(stored, peewee.BooleanField):
        return f"{column}::int::text"
    if isinstance(stored, TimestampField):
        return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'"
    return f"{column}::text"
