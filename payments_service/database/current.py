"""The database that the models and the store use: that of the application which handles the request or command."""
from collections.abc import Callable
from datetime import time, timezone, tzinfo
from typing import Any, NamedTuple

import peewee


class DayRule(NamedTuple):
    """When a business day of the application ends: in a time zone, at a time of the next morning."""

    time_zone: tzinfo = timezone.utc
    ends: time = time(0)


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
