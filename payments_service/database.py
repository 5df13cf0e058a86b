"""The database: its connections, its write transactions, and bringing it up to date."""
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import flask
import peewee
from playhouse.migrations import Runner
from playhouse.pool import PooledSqliteDatabase

EXTENSION = "payments_database"
MIGRATIONS = Path(__file__).parent / "migrations"

# How long each wait may take before a request is answered 503: for a connection, for this process's other writers, and
# for the locks of other processes.
WAIT_SECONDS = 5


class DatabaseTooNew(Exception):
    """The database has migrations that this release does not know."""


class Database(PooledSqliteDatabase):
    """A SQLite file, its kept connections, and the lock by which this process's writers take turns.

    SQLite alone lets a writer wait by trying again and again, and one that is unlucky waits for seconds.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.write_lock = threading.Lock()


class CurrentDatabase(peewee.DatabaseProxy):
    """The database of Flask's current application, so that several applications can share the models."""

    def __init__(self) -> None:
        self._callbacks: list[Any] = []

    @property
    def obj(self) -> Any:
        """The database, or None outside of an application's context."""
        return flask.current_app.extensions[EXTENSION] if flask.current_app else None


current = CurrentDatabase()

ErrorMaker = Callable[[], Exception]


class write:
    """The context of one write transaction: whole or not at all, and alone from its first read to its commit.

    Raises the error that is made for a kind of constraint where the block violates one; other violations pass
    unchanged.

    """

    # A class, and errors made only when they are raised, because neither leaves a reference cycle. The error of a
    # refused write holds its cursor; in a cycle, the cursor waits for the garbage collector. A thread that collects the
    # cursor of a connection which waits for a lock stops every thread until that wait is over.

    def __init__(
        self,
        *,
        unique: ErrorMaker | None = None,
        foreign_key: ErrorMaker | None = None,
        check: ErrorMaker | None = None,
    ) -> None:
        self.makers = {
            "SQLITE_CONSTRAINT_UNIQUE": unique,
            "SQLITE_CONSTRAINT_PRIMARYKEY": unique,
            "SQLITE_CONSTRAINT_FOREIGNKEY": foreign_key,
            "SQLITE_CONSTRAINT_CHECK": check,
        }

    def __enter__(self) -> None:
        self.database = current.obj
        if not self.database.write_lock.acquire(timeout=WAIT_SECONDS):
            raise peewee.OperationalError("other writes of this process took too long")
        try:
            self.transaction = self.database.atomic()
            self.transaction.__enter__()
        except BaseException:
            self.database.write_lock.release()
            raise

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.transaction.__exit__(kind, error, trace)
        finally:
            self.database.write_lock.release()
        if isinstance(error, peewee.IntegrityError):
            make_error = self.makers.get(getattr(error.orig, "sqlite_errorname", ""))
            if make_error is not None:
                raise make_error() from error


def migrate() -> list[str]:
    """Bring the current application's database up to date and return the migrations it took, none if it was.

    Several processes may do so at once. Raises `DatabaseTooNew`, and an OSError or a peewee error if it cannot be used.
    """
    database = current.obj
    path = Path(database.database)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        runner = Runner(database, str(MIGRATIONS))
        unknown = [migration.name for migration in runner.status() if migration.path is None]
        if unknown:
            raise DatabaseTooNew(f"{path} was used by a newer release, with {', '.join(unknown)}")
        return runner.up()
    finally:
        os.close(descriptor)


def close(app: flask.Flask) -> None:
    """Close every connection of `app` that no request uses. The last to go writes the -wal file into the database."""
    app.extensions[EXTENSION].close_idle()


def init_app(app: flask.Flask) -> None:
    """Give `app` its database. Connections are kept and go back to the pool when a request ends."""
    app.extensions[EXTENSION] = Database(
        app.config["DATABASE_URL"].removeprefix("sqlite:///"),
        pragmas={
            "journal_mode": "wal",
            # A commit returns once the payment is on the disk, so that no power cut takes back what was acknowledged.
            "synchronous": "full",
            "foreign_keys": "on",
            "busy_timeout": WAIT_SECONDS * 1000,
        },
        # SQLite's default takes the write lock only at the first write; two that have read before it cannot both go on.
        lock_type="IMMEDIATE",
        timeout=WAIT_SECONDS,
        max_connections=app.config["THREADS"],
        check_same_thread=False,
    )

    @app.teardown_appcontext
    def give_back(_error: BaseException | None) -> None:
        database = app.extensions[EXTENSION]
        if not database.is_closed():
            database.close()
