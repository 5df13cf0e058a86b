"""The data layer's base: the current database, prepared queries, write transactions and migrations."""
from typing import Any

from .current import DayRule, current, set_database_finder
from .faults import DATABASE_FAULTS, is_outage
from .migrating import lacks_migrations, migrate, pending_migrations
from .queries import placeholder, prepared
from .transactions import RetryWrite, on_commit, write, write_around
from .triggers import find_changed_triggers, find_further_triggers

__all__ = [
    "DATABASE_FAULTS", "DayRule", "RetryWrite", "check_beside", "close", "current", "find_changed_triggers",
    "find_further_triggers", "is_outage", "lacks_migrations", "migrate", "on_commit", "pending_migrations",
    "placeholder", "prepared", "set_database_finder", "watch", "write", "write_around",
]

# The key of `app.extensions` for what the service keeps with an application.
EXTENSION = "payments"


def close(app: Any) -> None:
    """Close every connection of `app` that no request uses. SQLite's last one moves its -wal file into the database."""
    app.extensions[EXTENSION].database.close_idle()


def check_beside(app: Any) -> None:
    """Check the rest of a large SQLite file for damage while `app` is served."""
    app.extensions[EXTENSION].database.check_beside()


def watch(app: Any) -> None:
    """Look whether a file of the database was deleted. If it was SQLite's -wal file, its payments are saved."""
    app.extensions[EXTENSION].database.find_file_fault()
