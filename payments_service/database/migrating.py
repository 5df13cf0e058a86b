"""Migrations: bring the database up to date, and find out whether it is."""
import sqlite3
from pathlib import Path

import peewee
from playhouse.migrations import Runner

from ..errors import UnusableDatabase
from .current import current
from .faults import error_code
from .triggers import find_changed_triggers

# A table or a column is missing: SQLite's general error, and PostgreSQL's SQLSTATEs.
MISSING_TABLES = {"SQLITE_ERROR", "42P01", "42703"}
# PostgreSQL's SQLSTATE.
INSUFFICIENT_PRIVILEGE = "42501"
CHANGED_TRIGGERS = (
    "{} is not as the migrations make it, so that the history can be changed: find out who did that, and create it "
    "again as the guide on operating says"
)

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def migrate(create: bool = True, check_seconds: float | None = None) -> list[str]:
    """Bring the current application's database up to date; return the names of the migrations that were run.

    A SQLite file that is missing or empty is created, or rejected without `create`: its disk may not be mounted. It is
    checked for damage first, for `check_seconds` at most unless a migration is pending; `check_beside` checks the rest.
    Several processes may call it at once: one migrates, the others wait. Raises `UnusableDatabase`, also for a
    trigger that is not as the migrations make it.
    """
    try:
        with current.migrating(create, check_seconds):
            applied = _run_pending()
            changed = find_changed_triggers()
            if changed:
                raise UnusableDatabase(CHANGED_TRIGGERS.format(", ".join(changed)))
            return applied
    except (peewee.PeeweeException, sqlite3.Error, OSError, UnusableDatabase) as error:
        reason = " ".join(str(error).split())
        raise UnusableDatabase(f"the database {current.location} cannot be used: {reason}") from error


def _run_pending() -> list[str]:
    runner = Runner(current.obj, str(MIGRATIONS))
    migrations = runner.status()
    unknown = [migration.name for migration in migrations if migration.path is None]
    if unknown:
        raise UnusableDatabase(f"a newer release has used it, with {', '.join(unknown)}")
    pending = [migration.name for migration in migrations if not migration.applied]
    if pending:
        # A damaged database is not changed.
        current.complete_check()
    try:
        # `up` creates its own table even where nothing is pending, which a role needs the right for.
        return list(runner.up()) if pending else []
    except peewee.ProgrammingError as error:
        if error_code(error) != INSUFFICIENT_PRIVILEGE:
            raise
        advice = f"run migrate as the role that owns the tables, to add {', '.join(pending)}"
        raise UnusableDatabase(f"{error}: {advice}") from error


def lacks_migrations(error: Exception) -> bool:
    """Tell whether an error comes from a table or column that a pending migration adds."""
    if error_code(error) not in MISSING_TABLES:
        return False
    try:
        return bool(pending_migrations())
    except (peewee.PeeweeException, sqlite3.Error):
        return False


def pending_migrations() -> list[str]:
    """Return the names of the migrations that the current application's database lacks."""
    return [migration.name for migration in Runner(current.obj, str(MIGRATIONS)).status() if not migration.applied]
