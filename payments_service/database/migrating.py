"""Migrations: bring the database up to date, and find out whether it is."""
import sqlite3
from pathlib import Path

import peewee
from playhouse.migrations import Runner

from ..errors import UnusableDatabase
from .current import current

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def migrate() -> list[str]:
    """Bring the current application's database up to date; return the names of the migrations that were run.

    Several processes may call it at once: one migrates, the others wait. Raises `UnusableDatabase`.
    """
    try:
        with current.migrating():
            runner = Runner(current.obj, str(MIGRATIONS))
            unknown = [migration.name for migration in runner.status() if migration.path is None]
            if unknown:
                raise UnusableDatabase(f"a newer release has used it, with {', '.join(unknown)}")
            return list(runner.up())
    except (peewee.PeeweeException, sqlite3.Error, OSError, UnusableDatabase) as error:
        reason = " ".join(str(error).split())
        raise UnusableDatabase(f"the database {current.location} cannot be used: {reason}") from error


def pending_migrations() -> list[str]:
    """Return the names of the migrations that the current application's database lacks."""
    return [migration.name for migration in Runner(current.obj, str(MIGRATIONS)).status() if not migration.applied]
