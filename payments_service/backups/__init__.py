"""Backups: one file each, made while the service runs, checked before it counts, and put back whole or not at all."""
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import peewee

from ..database import current
from ..database.sqlite import Sqlite
from . import postgresql, sqlite
from .files import BackupError, Progress, give_to_owner

__all__ = ["BackupError", "Progress", "back_up", "restore"]


def back_up(directory: Path, keep: int | None, progress: Progress) -> Path:
    """Write a backup of the current application's database into a folder, which is made if need be; return its path.

    It holds all that was acknowledged before. Of the finished backups of this engine in the folder only so many as
    `keep` says are kept, the newest, and all for None. Raises `BackupError`.
    """
    suffix = ".db" if isinstance(current.obj, Sqlite) else ".dump"
    with _one_line_faults():
        if not directory.exists():
            directory.mkdir(mode=0o700, parents=True)
            give_to_owner(directory)
        backup = directory / f"payments-{_now()}{suffix}"
        if backup.exists():
            raise BackupError(f"{backup} is there already")
        _engine().back_up(current.obj, backup, progress)
        if keep is not None:
            _delete_old(backup, keep)
    return backup


def restore(file: Path, force: bool, progress: Progress) -> Path | None:
    """Put a backup in the place of the current application's database; return where the old one is kept, if there was.

    A database that holds payments, or of which that is not known, is replaced only by `force`. At no instant is it
    anything but the old one, the new one, or one that the service refuses to start with. Raises `BackupError`.
    """
    with _one_line_faults():
        if not file.is_file():
            raise BackupError(f"there is no file {file}")
        return _engine().restore(current.obj, file.absolute(), _now(), force, progress)


def _engine() -> Any:
    return sqlite if isinstance(current.obj, Sqlite) else postgresql


def _now() -> str:
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"


def _delete_old(newest: Path, keep: int) -> None:
    # The one just made stays in any case: a box without a battery may have started with a clock that is years behind.
    name = re.compile(r"payments-\d{8}T\d{6}Z" + re.escape(newest.suffix))
    others = sorted(path for path in newest.parent.iterdir() if name.fullmatch(path.name) and path != newest)
    for path in others[: max(0, len(others) - (keep - 1))]:
        path.unlink()


@contextmanager
def _one_line_faults() -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, peewee.PeeweeException) as error:
        raise BackupError(" ".join(str(error).split())) from error
