"""The current database: its connections, its write transactions, and bringing it up to date."""
import functools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import flask
import peewee
from playhouse.migrations import Runner

from .engines import CONSTRAINTS, UNDONE_FOR_OTHERS, Postgresql, Sqlite, UnusableDatabase, code_of

EXTENSION = "payments_database"
MIGRATIONS = Path(__file__).parent / "migrations"
# How often a write is tried that the database undoes so that others can go on.
ATTEMPTS = 5

P = ParamSpec("P")
R = TypeVar("R")
ErrorMaker = Callable[[], Exception]


class WriteAgain(peewee.OperationalError):
    """Another write came in between: what this one has read is no longer so.

    An `OperationalError`, so that a write that never gets through is answered 503.
    """


class CurrentDatabase(peewee.DatabaseProxy):
    """The database of Flask's current application, so that several applications can share the models."""

    def __init__(self) -> None:
        self._callbacks: list[Any] = []

    @property
    def obj(self) -> Any:
        """The database, or None outside of an application's context."""
        try:
            return flask.current_app.extensions[EXTENSION]
        except RuntimeError:
            return None


current = CurrentDatabase()


class Parameter(NamedTuple):
    """Where a value goes in a prepared query."""

    column: str
    to_database: Callable[[Any], Any]


def given(field: peewee.Field) -> peewee.Node:
    """Return what stands in a prepared query for a value of a column, which is only known when the query runs."""
    return peewee.AsIs(Parameter(field.column_name, field.db_value), converter=False)


class prepared:
    """Makes a query of the function that builds it, which Peewee then writes out once for each engine.

    Writing a query takes Peewee several times as long as it takes the database to answer one for a row.
    """

    def __init__(self, build: Callable[[], Any]) -> None:
        self.build = build
        self.written: dict[type, tuple[str, list[Any], list[Any]]] = {}

    def execute(self, **values: Any) -> Any:
        """Run the query with the value of each column that is `given`; return the database's cursor."""
        database = current.obj
        sql, parameters, _ = self._written(database)
        bound = [
            parameter.to_database(values[parameter.column]) if isinstance(parameter, Parameter) else parameter
            for parameter in parameters
        ]
        return database.execute_sql(sql, bound)

    def first(self, **values: Any) -> dict[str, Any] | None:
        """Run the query likewise; return the first row it selects, by column, or None."""
        cursor = self.execute(**values)
        _, _, readers = self._written(current.obj)
        names = [column[0] for column in cursor.description]
        # All, so that SQLite is done with the query.
        for row in cursor.fetchall():
            return {name: read(value) for name, read, value in zip(names, readers, row)}
        return None

    def _written(self, database: peewee.Database) -> tuple[str, list[Any], list[Any]]:
        """Return the query's text, its parameters, and how to read each column, as this engine has them."""
        if type(database) not in self.written:
            query = self.build()
            sql, parameters = database.get_sql_context().sql(query).query()
            selected = query.selected_columns if isinstance(query, peewee.ModelSelect) else []
            self.written[type(database)] = sql, parameters, [column.unwrap().python_value for column in selected]
        return self.written[type(database)]


# Errors are made only when they are raised, and by functions rather than by a generator's context, because neither
# leaves a reference cycle. The error of a refused write holds its cursor; in a cycle, the cursor waits for the garbage
# collector. A thread that collects the cursor of a SQLite connection which waits for a lock stops every thread until
# that wait is over.
def write(
    *, unique: ErrorMaker | None = None, foreign_key: ErrorMaker | None = None, check: ErrorMaker | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function one write transaction: whole or not at all, and on the disk once it returns.

    Called by another such function it is a part of that one's transaction.

    It runs again if the database undoes it for others to go on, and if `WriteAgain` is raised. Raises the error that is
    made for a kind of constraint where it violates one; other errors pass unchanged.
    """
    makers = {"unique": unique, "foreign_key": foreign_key, "check": check}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def transaction(*args: P.args, **kwargs: P.kwargs) -> R:
            database = current.obj
            try:
                if database.in_transaction():
                    return function(*args, **kwargs)
                with database.turn, database.atomic():
                    return function(*args, **kwargs)
            except peewee.IntegrityError as error:
                make_error = makers.get(CONSTRAINTS.get(code_of(error), ""))
                if make_error is None:
                    raise
                raise make_error() from error

        return _tried_again(transaction)

    return decorate


def _tried_again(transaction: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(transaction)
    def attempts(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(0 if current.in_transaction() else ATTEMPTS - 1):
            try:
                return transaction(*args, **kwargs)
            except peewee.DatabaseError as error:
                if not isinstance(error, WriteAgain) and code_of(error) not in UNDONE_FOR_OTHERS:
                    raise
        return transaction(*args, **kwargs)

    return attempts


def migrate() -> list[str]:
    """Bring the current application's database up to date and return the migrations it took, none if it was.

    Several processes may do so at once. Raises `UnusableDatabase`.
    """
    try:
        with current.migrating():
            runner = Runner(current.obj, str(MIGRATIONS))
            unknown = [migration.name for migration in runner.status() if migration.path is None]
            if unknown:
                raise UnusableDatabase(f"a newer release has used it, with {', '.join(unknown)}")
            return runner.up()
    except (peewee.PeeweeException, sqlite3.Error, OSError, UnusableDatabase) as error:
        reason = " ".join(str(error).split())
        raise UnusableDatabase(f"the database {current.location} cannot be used: {reason}") from error


def pending_migrations() -> list[str]:
    """Return the migrations that the current application's database has not taken."""
    return [step.name for step in Runner(current.obj, str(MIGRATIONS)).status() if not step.applied]


def close(app: flask.Flask) -> None:
    """Close every connection of `app` that no request uses. SQLite's last writes its -wal file into the database."""
    app.extensions[EXTENSION].close_idle()


def init_app(app: flask.Flask) -> None:
    """Give `app` its database. Connections are kept and go back to the pool when a request ends."""
    url = app.config["DATABASE_URL"]
    engine = Sqlite if url.startswith("sqlite:") else Postgresql
    app.extensions[EXTENSION] = engine(url, connections=app.config["THREADS"])

    @app.teardown_appcontext
    def give_back(_error: BaseException | None) -> None:
        database = app.extensions[EXTENSION]
        if database.is_closed():
            return
        if flask.g.get("database_failed"):
            # What went wrong may lie in the connection, such as a file that was read-only when it was opened.
            database.manual_close()
        else:
            database.close()
