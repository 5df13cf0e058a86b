"""Bringing the database up to date."""
import sqlite3
from pathlib import Path

import peewee
from playhouse.migrations import Runner

from ..errors import UnusableDatabase
from .current import current

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def migrate() -> list[str]:
    """Bring the current application's database up to date; return the migrations that were run.

    Several processes may do so at once. Raises `UnusableDatabase`.
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
    """Return the migrations that the current application's database lacks."""
    return [step.name for step in Runner(current.obj, str(MIGRATIONS)).status() if not step.applied]
