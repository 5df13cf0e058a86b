"""The database: its connections, its write transactions, and bringing it up to date."""
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask
import peewee
from playhouse.migrations import Runner
from playhouse.pool import PooledSqliteDatabase

EXTENSION = "payments_database"
MIGRATIONS = Path(__file__).parent / "migrations"

# How long a request waits for another's write, or for a connection, before it is answered 503.
WAIT_SECONDS = 5

PRAGMAS = {
    "journal_mode": "wal",
    # A commit returns once the payment is on the disk, so that no power cut takes back what was acknowledged.
    "synchronous": "full",
    "foreign_keys": "on",
    "busy_timeout": WAIT_SECONDS * 1000,
}


class DatabaseTooNew(Exception):
    """The database has migrations that this release does not know."""


class CurrentDatabase(peewee.DatabaseProxy):
    """The database of Flask's current application, so that several applications can share the models."""

    def __init__(self) -> None:
        self._callbacks: list[Any] = []

    @property
    def obj(self) -> Any:
        """The database, or None outside of an application's context."""
        return flask.current_app.extensions[EXTENSION] if flask.current_app else None


current = CurrentDatabase()


def write() -> Any:
    """Return the context of one write transaction: whole or not at all, and alone from its first read to its commit."""
    return current.atomic()


@contextmanager
def on_violation(
    *, unique: Exception | None = None, foreign_key: Exception | None = None, check: Exception | None = None
) -> Iterator[None]:
    """Raise the given error where the block violates a constraint of that kind; other violations pass unchanged."""
    try:
        yield
    except peewee.IntegrityError as error:
        kinds = {
            "SQLITE_CONSTRAINT_UNIQUE": unique,
            "SQLITE_CONSTRAINT_PRIMARYKEY": unique,
            "SQLITE_CONSTRAINT_FOREIGNKEY": foreign_key,
            "SQLITE_CONSTRAINT_CHECK": check,
        }
        meaning = kinds.get(getattr(error.orig, "sqlite_errorname", ""))
        if meaning is None:
            raise
        raise meaning from error


def migrate() -> list[str]:
    """Bring the current application's database up to date and return the migrations it took, none if it was.

    Several processes may do so at once. Raises `DatabaseTooNew`, and an OSError or a peewee error if it cannot be used.
    """
    database = current.obj
    path = Path(database.database)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        runner = Runner(database, str(MIGRATIONS))
        unknown = [migration.name for migration in runner.status() if migration.path is None]
        if unknown:
            raise DatabaseTooNew(f"{path} was used by a newer release, with {', '.join(unknown)}")
        return runner.up()
    finally:
        os.close(directory)


def close(app: flask.Flask) -> None:
    """Close every connection of `app` that no request uses. The last to go writes the -wal file into the database."""
    app.extensions[EXTENSION].close_idle()


def init_app(app: flask.Flask) -> None:
    """Give `app` its database. Connections are kept and go back to the pool when a request ends."""
    app.extensions[EXTENSION] = PooledSqliteDatabase(
        app.config["DATABASE_URL"].removeprefix("sqlite:///"),
        pragmas=PRAGMAS,
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
