"""Backups: each is one file, made while the service runs, and verified. A restore replaces all data or none."""
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType

import peewee

from ..database import current
from ..database.sqlite import Sqlite
from . import sqlite
from .files import BackupError, Progress, chown_to_folder_owner

__all__ = ["BackupError", "Progress", "back_up", "restore"]


def back_up(directory: Path, keep: int | None, progress: Progress) -> Path:
    """Write a backup of the current application's database into `directory` and return its path.

    It holds all payments that were acknowledged before this call. The folder is created if it does not exist. Of this
    engine's backups in the folder, only `keep` stay: this one always, then the newest ones, and those that are dated in
    the future last. With None, all stay. Raises `BackupError`.
    """
    suffix = ".db" if _is_sqlite() else ".dump"
    with _raise_backup_errors():
        if not directory.exists():
            directory.mkdir(mode=0o700, parents=True)
            chown_to_folder_owner(directory)
        backup = directory / f"payments-{_timestamp()}{suffix}"
        if backup.exists():
            raise BackupError(f"{backup} already exists")
        _engine_module().back_up(current.obj, backup, progress)
        if keep is not None:
            _delete_old(backup, keep)
    return backup


def restore(file: Path, force: bool, progress: Progress) -> Path | None:
    """Replace the current application's database with a backup; return the path of the old database, if there was one.

    Without `force`, a database that holds payments or cannot be read is not replaced. If the restore is interrupted,
    the database is the old one, the new one, or one that the service rejects at its start. Raises `BackupError`.
    """
    with _raise_backup_errors():
        if not file.is_file():
            raise BackupError(f"there is no file {file}")
        kept: Path | None = _engine_module().restore(current.obj, file.absolute(), _timestamp(), force, progress)
        return kept


def _is_sqlite() -> bool:
    return isinstance(current.obj, Sqlite)


def _engine_module() -> ModuleType:
    if _is_sqlite():
        return sqlite
    # Imported here, because a service on SQLite does without psycopg: see wsgi.py.
    from . import postgresql

    return postgresql


def _timestamp() -> str:
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"


def _delete_old(newest: Path, keep: int) -> None:
    name = re.compile(r"payments-\d{8}T\d{6}Z" + re.escape(newest.suffix))
    # The new backup always stays. Its name may sort first: without a battery, a clock may have lost years.
    others = [path for path in newest.parent.iterdir() if name.fullmatch(path.name) and path != newest]
    # Backups that were made while the clock was ahead would stay for as long as it was, in the place of newer ones.
    now = f"payments-{_timestamp()}{newest.suffix}"
    others.sort(key=lambda path: (path.name <= now, path.name))
    for path in others[: max(0, len(others) - (keep - 1))]:
        path.unlink()


@contextmanager
def _raise_backup_errors() -> Iterator[None]:
    """Turn errors of the file system and the database into a `BackupError` with one line."""
    try:
        yield
    except (OSError, sqlite3.Error, peewee.PeeweeException) as error:
        raise BackupError(" ".join(str(error).split())) from error
