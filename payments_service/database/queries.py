"""Prepared queries: Peewee writes the SQL once for each engine."""
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import peewee

from .current import current


def join_names(columns: Iterable[str]) -> str:
    """Return names of columns as SQL."""
    return ", ".join(f'"{column}"' for column in columns)


class Placeholder(NamedTuple):
    """A parameter of a prepared query: its name, and the function that converts its value for the database."""

    name: str
    to_database: Callable[[Any], Any]


def placeholder(field: peewee.Field, name: str | None = None) -> peewee.Node:
    """Return a placeholder for a column's value, bound when the query runs; its name is the column's unless given."""
    return peewee.AsIs(Placeholder(name or field.column_name, field.db_value), converter=False)


class PreparedSql(NamedTuple):
    """The SQL of a query for one engine, its parameters, and the converters of the columns that it selects."""

    text: str
    parameters: list[Any]
    converters: list[Callable[[Any], Any]]


class prepared:
    """Decorator: make a prepared query of the function that builds it.

    Peewee takes several times as long to write a query for one row as the database takes to answer it.
    """

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        self._sql: dict[type, PreparedSql] = {}

    def execute(self, **values: Any) -> Any:
        """Run the query with a value for each placeholder, by name; return the cursor."""
        database = current.obj
        sql = self._prepare(database)
        bound = [
            parameter.to_database(values[parameter.name]) if isinstance(parameter, Placeholder) else parameter
            for parameter in sql.parameters
        ]
        return database.execute_sql(sql.text, bound)

    def insert(self, **values: Any) -> None:
        """Run an INSERT of one row; raises `peewee.OperationalError` if a trigger of others dropped it silently."""
        if self.execute(**values).rowcount != 1:
            raise peewee.OperationalError("the database drops rows silently: look for triggers and rules of others")

    def first_tuple(self, **values: Any) -> tuple[Any, ...] | None:
        """Run the query; return its first row as the driver returns it, or None."""
        # All rows are read, so that SQLite ends the query and its read transaction.
        rows = self.execute(**values).fetchall()
        return rows[0] if rows else None

    def first_dict(self, **values: Any) -> dict[str, Any] | None:
        """Run the query; return its first row by column, with values converted by the model's fields, or None."""
        cursor = self.execute(**values)
        names = [column[0] for column in cursor.description]
        converters = self._prepare(current.obj).converters
        rows = cursor.fetchall()
        return {name: convert(value) for name, convert, value in zip(names, converters, rows[0])} if rows else None

    def _prepare(self, database: peewee.Database) -> PreparedSql:
        if type(database) not in self._sql:
            query = self._build()
            text, parameters = database.get_sql_context().sql(query).query()
            selected = query.selected_columns if isinstance(query, peewee.ModelSelect) else []
            # A constant has no converter.
            converters = [getattr(column.unwrap(), "python_value", lambda value: value) for column in selected]
            self._sql[type(database)] = PreparedSql(text, parameters, converters)
        return self._sql[type(database)]
