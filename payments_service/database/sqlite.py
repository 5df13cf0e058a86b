"""SQLite: connecting, and everything in which it differs from PostgreSQL."""
import contextlib
import functools
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any

import peewee
from playhouse.migrations import Runner
from playhouse.pool import PooledSqliteDatabase

from ..errors import DamagedDatabase, UnusableDatabase
from ..metrics import Metrics
from . import timeouts
from .current import DayRule
from .locks import WriteLock, folder_lock
from .migrating import MIGRATIONS
from .queries import join_names
from .sqlite_check import SqliteCheck, describe_damage
from .sqlite_files import SqliteFiles
from .triggers import Trigger

# With less room on the disk, a payment or SQLite's own files may not fit.
MIN_FREE_BYTES = 32 * 2**20
LOW_FREE_BYTES = 2**30
# The bits of a file's mode for others: users that are neither its owner nor in its group.
OTHERS_MODE = 0o007
# A checkpoint cuts the -wal file to this size. By itself SQLite never cuts it: one that grew while somebody read for
# hours would stay as large. It is far more than the 4 MiB at which SQLite begins to use the file again.
MAX_WAL_BYTES = 64 * 2**20
# A request that only reads may use a connection for this long without a look at the files: three calls of the system.
# With a look each time, a GET takes 1.06 times as much CPU.
CHECK_SECONDS = 1
# The cache of a connection that inserts many rows, in KiB.
BULK_CACHE_KIB = 64 * 2**10

# Peewee's runner logs each migration, and some migrations log their progress.
MIGRATION_LOGGERS = [logging.getLogger(name) for name in ("peewee.migrations", "payments_service.migrations")]
MISSING = "it is missing or empty: see that its disk is mounted, or run `flask --app wsgi migrate` to create it"


class Sqlite(PooledSqliteDatabase):
    """A SQLite file and its pool of connections."""

    def __init__(self, url: str, connections: int, metrics: Metrics, day_rule: DayRule = DayRule()) -> None:
        self.location = url
        self.metrics = metrics
        self.day_rule = day_rule
        self.path = Path(url.removeprefix("sqlite:///"))
        self.files = SqliteFiles(self.path)
        self._damage_check: SqliteCheck | None = None
        # When the files have to be looked at again, in monotonic seconds.
        self._next_check = -math.inf
        self.write_lock = WriteLock(self.path.parent)
        self.advice = f"see that it and its folder belong to the service's user: ls -la {self.path.parent}"
        super().__init__(
            str(self.path),
            pragmas={
                "journal_mode": "wal",
                # A commit returns once the payment is on the disk, so that no power cut loses it.
                "synchronous": "full",
                "foreign_keys": "on",
                "busy_timeout": timeouts.LOCK_TIMEOUT_SECONDS * 1000,
                "journal_size_limit": MAX_WAL_BYTES,
            },
            # The default takes the write lock at the first write: of two transactions that read first, one fails.
            lock_type="IMMEDIATE",
            timeout=timeouts.LOCK_TIMEOUT_SECONDS,
            max_connections=connections,
            check_same_thread=False,
        )

    def _connect(self) -> Any:
        with self._pool_lock:
            # SQLite would create a missing file for a new connection.
            if not self._connections or monotonic() >= self._next_check:
                self.check_files()
            return super()._connect()

    def _add_conn_hooks(self, conn: Any) -> None:
        super()._add_conn_hooks(conn)
        # A file that was deleted since the last check has just been created by SQLite.
        self.check_files()

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction; raises `peewee.OperationalError` if the files are not those that were migrated."""
        self.check_files()
        self.connection().execute(f"PRAGMA busy_timeout = {int(timeouts.find_lock_timeout() * 1000)}")
        super().begin(lock_type)

    def check_files(self) -> None:
        """Raise `peewee.OperationalError` unless the files are those that were migrated.

        What is written to a deleted file is lost when the process ends. SQLite would create a missing file. Without a
        migration in this process, the files are those that it opened first.
        """
        fault = self.find_file_fault()
        if fault:
            raise peewee.OperationalError(fault)
        self._next_check = monotonic() + CHECK_SECONDS
        if self.files.are_watched:
            return
        if not self.exists():
            raise peewee.OperationalError(MISSING)
        try:
            self.files.watch()
        except (UnusableDatabase, OSError) as error:
            raise peewee.OperationalError(str(error)) from error

    def find_file_fault(self) -> str | None:
        """Return which file was deleted or replaced since the migration, or None."""
        fault = self.files.find_fault()
        if self.files.lost:
            super().close_idle()
        return fault

    def _close(self, conn: Any, close_conn: bool = False) -> None:
        super()._close(conn, close_conn=close_conn or bool(self.files.lost))

    def close_idle(self) -> None:
        """Close every connection that no request uses."""
        if self._damage_check:
            self._damage_check.stop()
        super().close_idle()
        self.files.close()

    def find_fault(self) -> str | None:
        """Return why the files or their disk cannot store payments, or None if they can."""
        fault = self.find_file_fault()
        if fault:
            return f"{fault[0].upper()}{fault[1:]}."
        if not self.exists():
            return f"The database cannot be used: {MISSING}."
        if self._damage_check and self._damage_check.damage is not None:
            return describe_damage(self._damage_check.damage)
        try:
            free = shutil.disk_usage(self.path.parent).free
        except OSError as error:
            return f"The disk of the database cannot be read: {error.strerror}. See that it is mounted."
        if free < MIN_FREE_BYTES:
            return f"The disk of the database is full: {free // 2**20} MiB are free. Make room."
        return None

    def exists(self) -> bool:
        """Tell whether the file exists, in a folder that can be read."""
        return os.path.exists(self.path)

    def find_warnings(self) -> Iterator[str]:
        """Yield what may become a fault, each with what to do."""
        for path in (self.path, self.files.wal):
            if path.exists() and path.stat().st_mode & OTHERS_MODE:
                yield f"others may read payments: chmod o= {path}"
        free = shutil.disk_usage(self.path.parent).free
        if free < LOW_FREE_BYTES:
            yield f"only {free // 2**20} MiB are free on its disk: make room"

    def expected_triggers(self) -> dict[Trigger, str]:
        """Return the triggers that the migrations make, each with its definition."""
        return _migrated_triggers(MIGRATIONS)

    def read_triggers(self) -> dict[Trigger, str]:
        """Return the triggers that the database has, each with its definition."""
        return _read_triggers(self)

    def now(self) -> datetime:
        """Return the time by this machine's clock."""
        return datetime.now(timezone.utc)

    def for_update(self, query: peewee.ModelSelect, skip_locked: bool = False) -> peewee.ModelSelect:
        """Return the query unchanged: a write transaction locks the whole database."""
        return query

    def for_share(self, query: peewee.ModelSelect) -> peewee.ModelSelect:
        """Return the query unchanged: a write transaction locks the whole database."""
        return query

    def lock_text(self, text: str) -> None:
        """Do nothing: a write transaction locks the whole database."""

    def sort_by_bytes(self, text: peewee.ColumnBase) -> peewee.ColumnBase:
        """Return a text unchanged: it is compared byte by byte."""
        return text

    def select_rows(self, query: peewee.ModelSelect, columns: Sequence[peewee.ColumnBase]) -> peewee.Select:
        """Return a query for columns as one whose cursor `read_rows` reads.

        SQLite returns the rows as one JSON text. Python's sqlite3 releases the GIL at each row: under load, eight
        threads that read 1,000 rows each took three times as long that way.
        """
        page = query.select(peewee.fn.json_array(*columns).alias("row")).alias("page")
        rows = peewee.fn.COALESCE(peewee.fn.group_concat(page.c.row), "")
        return peewee.Select([page], [peewee.Value("[").concat(rows).concat("]")])

    def read_rows(self, cursor: Any, decode: Callable[[str], list[Any]]) -> list[Any]:
        """Return the rows of a query of `select_rows`, in no particular order; `decode` reads them in JSON."""
        ((text,),) = cursor.fetchall()
        return decode(text)

    def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert many rows of values as they are stored, and return how many were. Call it in a write transaction."""
        sql = f'INSERT INTO "{table}" ({join_names(columns)}) VALUES ({", ".join("?" * len(columns))})'
        with peewee.__exception_wrapper__:
            # Pages of indexes in random order are written each time that they leave the cache, of 2 MiB by default.
            self.connection().execute(f"PRAGMA cache_size = -{BULK_CACHE_KIB}")
            return int(self.connection().executemany(sql, rows).rowcount)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let every query see the database as it is now, while the service goes on."""
        with self.atomic("DEFERRED"):
            yield

    def stream(self, query: peewee.ModelSelect) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, as the driver returns them, without keeping them. Call it in a snapshot."""
        yield from self.execute(query)

    @contextlib.contextmanager
    def migrating(self, create: bool = True, check_seconds: float | None = None) -> Iterator[None]:
        """Let one process at a time migrate the file, which is created if it is missing and `create` is true.

        It is checked for damage first, for `check_seconds` at most. Raises `UnusableDatabase` for a file that is
        missing, damaged, or not the only path to the database. It is left as it is.
        """
        self.check(check_seconds)
        if not create and not self._has_content():
            raise UnusableDatabase(MISSING)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.files.reset()
        with folder_lock(self.path.parent):
            if create and not self.path.exists():
                # SQLite would use the process's umask, and give the files beside it the mode of this one.
                os.close(os.open(self.path, os.O_CREAT, 0o600))
            self.files.watch()
            try:
                yield
            except BaseException:
                self.files.reset()
                raise

    def _has_content(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def check(self, seconds: float | None = None) -> None:
        """Raise `UnusableDatabase` for a file that is not the only path to the database.

        Raises `DamagedDatabase` for one that is damaged, or missing while its -wal file exists. After so many seconds,
        the rest of a large file is left to `complete_check` or `check_beside`.
        """
        if not self._has_content():
            # SQLite would create a new database and delete the payments in the -wal file.
            wal = self.files.wal
            if wal.exists() and wal.stat().st_size:
                raise DamagedDatabase(f"it was left as it is, because it is empty or missing while {wal} is not")
            return
        self.files.reject_second_path()
        self._damage_check = SqliteCheck(self.path)
        self.complete_check(seconds)

    def complete_check(self, seconds: float | None = None) -> None:
        """Check what `check` has left; raises `DamagedDatabase`."""
        found = self._damage_check
        if found and not found.is_complete:
            found.run(seconds)
        if found and found.damage is not None:
            raise DamagedDatabase(f"it was left as it is, because it is damaged: {found.damage}")

    def check_beside(self) -> None:
        """Check what `check` has left while the service runs: readiness and the log say if it is damaged."""
        if self._damage_check and not self._damage_check.is_complete:
            self._damage_check.start()

    def reject_second_path(self) -> None:
        """Raise `UnusableDatabase` for a file that is not the only path to the database."""
        self.files.reject_second_path()


@functools.cache
def _migrated_triggers(migrations: Path) -> dict[Trigger, str]:
    """Return the triggers of an empty database that is brought up to date, which takes 20 ms."""
    database = peewee.SqliteDatabase(":memory:")
    # The log would show these migrations as if the service's database had lacked them.
    for logger in MIGRATION_LOGGERS:
        logger.disabled = True
    try:
        Runner(database, str(migrations)).up()
    finally:
        for logger in MIGRATION_LOGGERS:
            logger.disabled = False
    triggers = _read_triggers(database)
    database.close()
    return triggers


def _read_triggers(database: peewee.SqliteDatabase) -> dict[Trigger, str]:
    rows = database.execute_sql("SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    return {Trigger(table, name): " ".join(sql.split()) for table, name, sql in rows}
