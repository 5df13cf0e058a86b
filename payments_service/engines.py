"""The two databases that the service runs on, and all in which they differ."""
import contextlib
import fcntl
import os
import select
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec
import peewee
import psycopg
from playhouse.pool import PooledSqliteDatabase
from playhouse.postgres_ext import PooledPsycopg3Database, Psycopg3ExtAdapter
from psycopg.conninfo import conninfo_to_dict

# How long each wait may take before a request is answered 503: for a connection, for other writers, for a lock.
WAIT_SECONDS = 5
# How long PostgreSQL may take for one statement.
ANSWER_SECONDS = 30

# With less room on the disk, a payment or what SQLite has to write besides may not fit.
LEAST_FREE_BYTES = 32 * 2**20
ENOUGH_FREE_BYTES = 2**30
# What a file's mode allows to others than its owner and its group.
OTHERS = 0o007

REPLACED = "file was deleted or replaced while the service ran: put the right one there and start again"

# What a violated constraint is called: SQLite's extended result codes, and PostgreSQL's SQLSTATE (its appendix A).
CONSTRAINTS = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign_key",
    "SQLITE_CONSTRAINT_CHECK": "check",
    "23505": "unique",
    "23503": "foreign_key",
    "23514": "check",
}
# Serialization failure and deadlock: PostgreSQL has undone the transaction so that others could go on.
UNDONE_FOR_OTHERS = {"40001", "40P01"}

# The key of PostgreSQL's advisory lock under which one process migrates: "payments" in ASCII.
MIGRATION_LOCK = 0x7061796D656E7473


class UnusableDatabase(Exception):
    """The service cannot work with the database; the text is one line that says why."""


def code_of(error: peewee.PeeweeException) -> str:
    """Return the database's own code for an error, "" if the error is not the database's."""
    origin = getattr(error, "orig", None)
    return getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None) or ""


class Turn:
    """The context in which one thread of all processes on the SQLite files of a folder writes.

    SQLite alone lets a writer try again and again, at ever longer intervals, and an unlucky one waits for seconds.
    Raises `peewee.OperationalError` if the wait is too long.
    """

    STEP = 1 / 1000
    # A process that has written for a stretch without a break makes one, in which those that wait elsewhere get in.
    STRETCH = 100 / 1000
    BREAK = 3 / 1000

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.of_this_process = threading.Lock()
        self.began = self.ended = monotonic()

    def __enter__(self) -> None:
        deadline = monotonic() + WAIT_SECONDS
        if not self.of_this_process.acquire(timeout=WAIT_SECONDS):
            raise peewee.OperationalError("other writes of this process took too long")
        try:
            if self.ended - self.began > self.STRETCH:
                sleep(max(0, self.ended + self.BREAK - monotonic()))
            self.of_all_processes = self._lock_directory(deadline)
            if monotonic() - self.ended >= self.BREAK:
                self.began = monotonic()
        except BaseException:
            self.of_this_process.release()
            raise

    def _lock_directory(self, deadline: Any) -> int:
        # Not the file: closing a descriptor of it would drop the locks that SQLite holds on it.
        with contextlib.ExitStack() as unless_locked:
            try:
                directory = os.open(self.directory, os.O_RDONLY)
                unless_locked.callback(os.close, directory)
                while not _try_lock(directory):
                    if monotonic() > deadline:
                        raise peewee.OperationalError("writes of other processes took too long")
                    sleep(self.STEP)
            except OSError as error:
                raise peewee.OperationalError(str(error)) from error
            unless_locked.pop_all()
            return directory

    def __exit__(self, *_: Any) -> None:
        os.close(self.of_all_processes)
        self.ended = monotonic()
        self.of_this_process.release()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


class Sqlite(PooledSqliteDatabase):
    """A SQLite file and its kept connections."""

    def __init__(self, url: str, connections: int) -> None:
        self.location = url
        self.path = Path(url.removeprefix("sqlite:///"))
        self.turn = Turn(self.path.parent)
        self.advice = f"see that it and its folder belong to the service's user: ls -la {self.path.parent}"
        # Which file was migrated; None before.
        self.file: tuple[int, int] | None = None
        super().__init__(
            str(self.path),
            pragmas={
                "journal_mode": "wal",
                # A commit returns once the payment is on the disk, so that no power cut takes back what was
                # acknowledged.
                "synchronous": "full",
                "foreign_keys": "on",
                "busy_timeout": WAIT_SECONDS * 1000,
            },
            # By default the write lock is taken at the first write; two that have read before it cannot both go on.
            lock_type="IMMEDIATE",
            timeout=WAIT_SECONDS,
            max_connections=connections,
            check_same_thread=False,
        )

    def _connect(self) -> Any:
        self._check_same_file()
        return super()._connect()

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction; raises `peewee.OperationalError` if the file is not the one that was migrated."""
        self._check_same_file()
        super().begin(lock_type)

    def _check_same_file(self) -> None:
        # What is written to a file that was deleted or replaced is lost with the last connection to it, and where there
        # is none SQLite makes one.
        if self.file is not None and self._identity() != self.file:
            raise peewee.OperationalError(REPLACED)

    def _identity(self) -> tuple[int, int] | None:
        """Return which file the path leads to, None if to none."""
        try:
            found = os.stat(self.database)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def fault(self) -> str | None:
        """Return what is wrong with the file or its disk, if anything is."""
        if self.file is not None and self._identity() != self.file:
            return f"The database {REPLACED}."
        free = shutil.disk_usage(self.path.parent).free
        if free < LEAST_FREE_BYTES:
            return f"The disk of the database is full: {free // 2**20} MiB are free. Make room."
        return None

    def is_there(self) -> bool:
        """Tell whether there is a file."""
        return self.path.exists()

    def weaknesses(self) -> Iterator[str]:
        """Tell what may become a fault, and what to do."""
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            if path.exists() and path.stat().st_mode & OTHERS:
                yield f"others may read payments: chmod o= {path}"
        free = shutil.disk_usage(self.path.parent).free
        if free < ENOUGH_FREE_BYTES:
            yield f"only {free // 2**20} MiB are free on its disk: make room"

    def for_update(self, query: peewee.ModelSelect, skip_locked: bool = False) -> peewee.ModelSelect:
        """Return the query as it is: during a write transaction nobody else writes at all."""
        return query

    def rows(self, query: peewee.ModelSelect, names: Iterable[str]) -> list[tuple[Any, ...]]:
        """Return the rows of a query, texts and whole numbers in columns with these names, in no certain order.

        They come as one JSON text: Python's sqlite3 lets other threads go first at each row, which under load takes
        longer than all the rest.
        """
        page = query.alias("page")
        array = peewee.fn.json_group_array(peewee.fn.json_array(*(page.c[name] for name in names)))
        (text,) = self.execute(peewee.Select([page], [array])).fetchone()
        return msgspec.json.decode(text, type=list[tuple[Any, ...]])

    @contextlib.contextmanager
    def migrating(self) -> Iterator[None]:
        """Let one process at a time migrate a file that is sound or not there yet, and otherwise leave it alone."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.check()
        self.file = None
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            if not self.path.exists():
                # SQLite would go by the process's umask, and gives what it makes beside a file the file's own mode.
                os.close(os.open(self.path, os.O_CREAT, 0o600))
            yield
            self.file = self._identity()
        finally:
            os.close(directory)

    def check(self) -> None:
        """Raise `UnusableDatabase` for a file that is damaged, or missing while its log is there."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if not self.path.exists() or not self.path.stat().st_size:
            # SQLite would make a new database and throw away the payments in the log.
            if log.exists() and log.stat().st_size:
                raise UnusableDatabase(f"it was left as it is, because it is empty or missing while {log} is not")
            return
        try:
            found = self._quick_check("ro")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_READONLY"):
                raise
            # A power cut has interrupted a write that SQLite wants to take back first.
            found = self._quick_check("rw")
        if found != "ok":
            raise UnusableDatabase(f"it was left as it is, because it is damaged: {found}")

    def _quick_check(self, mode: str) -> str:
        url = f"{self.path.as_uri()}?mode={mode}"
        with contextlib.closing(sqlite3.connect(url, timeout=WAIT_SECONDS, uri=True)) as opened:
            try:
                return opened.execute("PRAGMA quick_check(1)").fetchone()[0]
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                return str(error)


class PatientConnection(psycopg.Connection):
    """A connection that gives up on a server which takes a statement and does not answer it."""

    answer_seconds: int | None = ANSWER_SECONDS

    def wait(self, gen: Any, interval: Any = 1, timeout: Any = None) -> Any:
        """Wait for what psycopg does next; raises OperationalError if that takes too long."""
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except psycopg.errors._WaitTimeout:
            self.close()
            raise psycopg.OperationalError("the server took too long to answer") from None


class PatientAdapter(Psycopg3ExtAdapter):
    """Peewee's way to psycopg, with connections of that kind."""

    def connect(self, db: peewee.Database, **params: Any) -> PatientConnection:
        """Return a new connection."""
        return PatientConnection.connect(dbname=db.database, **params)


class Postgresql(PooledPsycopg3Database):
    """A PostgreSQL database and its kept connections."""

    psycopg3_adapter = PatientAdapter
    advice = "see that the server runs and lets this user write, and that PAYMENTS_DATABASE_URL is right"
    # PostgreSQL's own locks keep writes apart.
    turn = contextlib.nullcontext()

    def __init__(self, url: str, connections: int) -> None:
        given = conninfo_to_dict(url)
        self.location = f"postgresql://{given.get('host', '')}:{given.get('port', 5432)}/{given['dbname']}"
        session = {
            # A commit returns once the payment is on the disk, whatever the server's default is.
            "synchronous_commit": "on",
            "lock_timeout": f"{WAIT_SECONDS}s",
            # The server lets go of what a box held that lost its power in the middle of a write.
            "idle_in_transaction_session_timeout": f"{2 * WAIT_SECONDS}s",
        }
        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        patience = {
            "connect_timeout": WAIT_SECONDS,
            # A server that has lost its power, or the way to it, says nothing any more.
            "tcp_user_timeout": WAIT_SECONDS * 1000,
            "keepalives_idle": WAIT_SECONDS,
            "keepalives_interval": WAIT_SECONDS,
        }
        super().__init__(
            given.pop("dbname"),
            timeout=WAIT_SECONDS,
            max_connections=connections,
            isolation_level="READ COMMITTED",
            options=f"{given.pop('options', '')} {options}",
            **patience | given | {"client_encoding": "utf8"},
        )
        # Since when each thread wants a connection, and when and why the last attempt to make one failed.
        self.wanted = threading.local()
        self.unreachable: tuple[Any, str] | None = None

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Take a kept connection or make one; raises `peewee.OperationalError`, and ValueError if all are in use."""
        self.wanted.since = monotonic()
        return super().connect(reuse_if_open)

    def _connect(self) -> Any:
        # Peewee lets one thread at a time come here. Those that waited while one found that the server is out of reach
        # do not try for as long again, one after the other.
        if self.unreachable and self.unreachable[0] > self.wanted.since:
            raise psycopg.OperationalError(self.unreachable[1])
        try:
            return super()._connect()
        except psycopg.OperationalError as error:
            self.unreachable = monotonic(), str(error)
            raise

    def _is_closed(self, conn: Any) -> bool:
        # Peewee would ask the server, and let all requests wait for its answer. But an idle connection has something to
        # read only if the server is about to end it, or has.
        if not conn.closed:
            idle = select.poll()
            idle.register(conn.fileno(), select.POLLIN)
            if not idle.poll(0):
                return False
            conn.close()
        return True

    def fault(self) -> None:
        """Return None: files and disks are the server's."""

    def is_there(self) -> bool:
        """Return True: what a server says of a database that it does not have is its answer to a query."""
        return True

    def check(self) -> None:
        """Do nothing: the server looks after its files."""

    def weaknesses(self) -> Iterator[str]:
        """Tell what may become a fault, and what to do."""
        (fsync,) = self.execute_sql("SHOW fsync").fetchone()
        if fsync != "on":
            yield "the server's fsync is off, so that a power cut can destroy it: set fsync = on in postgresql.conf"

    def for_update(self, query: peewee.ModelSelect, skip_locked: bool = False) -> peewee.ModelSelect:
        """Return a query of one table that lets nobody else change the rows it finds until the transaction ends.

        It waits for those that others are changing, or else skips them.
        """
        return query.for_update(skip_locked=skip_locked)

    def rows(self, query: peewee.ModelSelect, names: Iterable[str]) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.execute(query).fetchall()

    @contextlib.contextmanager
    def migrating(self) -> Iterator[None]:
        """Let one process at a time migrate, all or nothing, a database that can hold any text."""
        connection = self.connection()
        # Whatever has to be done may take its time.
        connection.answer_seconds = None
        try:
            with self.atomic():
                self.execute_sql("SET LOCAL lock_timeout = 0")
                self.execute_sql("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
                (encoding,) = self.execute_sql("SHOW server_encoding").fetchone()
                if encoding != "UTF8":
                    raise UnusableDatabase(f"its encoding is {encoding}: create it with the encoding UTF8")
                yield
        finally:
            connection.answer_seconds = ANSWER_SECONDS
