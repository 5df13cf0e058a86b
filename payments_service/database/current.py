"""The database that the models and the store use: that of the application which handles the request or command."""
from collections.abc import Callable
from typing import Any

import peewee


class CurrentDatabase(peewee.DatabaseProxy):
    """A proxy for the database that `find` returns at the moment, so that several applications share the models."""

    # An attribute of the class: Peewee's proxies reject new attributes of an instance.
    find: Callable[[], Any] = staticmethod(lambda: None)

    def __init__(self) -> None:
        self._callbacks: list[Any] = []

    @property
    def obj(self) -> Any:
        """The database, or None where there is no current application."""
        return self.find()


current = CurrentDatabase()


def set_database_finder(find: Callable[[], Any]) -> None:
    """Let `current` be the database that `find` returns."""
    CurrentDatabase.find = staticmethod(find)
