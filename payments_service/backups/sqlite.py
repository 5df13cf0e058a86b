"""Backups of SQLite: files that hold a whole database each."""
import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ..database.sqlite import Sqlite
from ..errors import UnusableDatabase
from . import files
from .files import BackupError, Progress

# Pages of 4 KiB between two signs of progress.
STEP = 1024
# The bytes that each connection has a shared lock on as long as it is open (https://sqlite.org/src/file/src/os.h).
SHARED_FIRST, SHARED_SIZE = 0x40000002, 510
IN_USE = "the database is in use: stop the service first"


def back_up(database: Sqlite, backup: Path, progress: Progress) -> None:
    """Write a backup; raises `BackupError`, OSError and sqlite3.Error."""
    if not database.path.exists():
        raise BackupError(f"there is no database {database.path}")
    with files.unfinished(backup.parent) as folder:
        copy = folder / backup.name
        if files.FIRST_MIGRATION not in _copy(database.path, copy, progress):
            raise BackupError(f"{database.path} is not a database of payments")
        files.finish(copy, backup)


def restore(database: Sqlite, file: Path, moment: str, force: bool, progress: Progress) -> Path | None:
    """Restore a backup and return where the old database is; raises `BackupError`, OSError and sqlite3.Error."""
    path = database.path
    if path.exists() and file.samefile(path):
        raise BackupError(f"{file} is the database itself")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with files.unfinished(path.parent) as folder:
        new = folder / path.name
        files.check_release(file, _copy(file, new, progress))
        kept = path.with_name(f"{path.name}.before-{moment}")
        with files.locked(path.parent):
            try:
                database.check()
            except UnusableDatabase as error:
                if not force:
                    raise BackupError(f"the database cannot be read ({error}): only --force replaces it") from error
                _replace_damaged(path, new, kept)
                return kept
            if path.exists():
                _replace_sound(path, new, kept, force)
                return kept
            files.finish(new, path)
            return None


def _copy(source: Path, target: Path, progress: Progress) -> list[str]:
    """Copy a database as it is at one moment, whatever others write meanwhile; return the names of its migrations.

    The copy is one file. Raises `BackupError` if it is not sound, and sqlite3.Error.
    """
    try:
        with closing(_connect(source, "ro")) as opened, closing(_connect(target, "rwc")) as copy:
            # It is synced as a whole in the end.
            copy.execute("PRAGMA synchronous = off")
            # One read transaction: without it, each write of another process makes the copying begin anew.
            opened.execute("BEGIN")
            tables = {name for (name,) in opened.execute("SELECT name FROM sqlite_master")}
            opened.backup(
                copy, pages=STEP, progress=lambda _, remaining, total: progress("Copying", total - remaining, total)
            )
            progress("Checking")
            copy.execute("PRAGMA journal_mode = delete")
            (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise BackupError(f"{source} is damaged: {' '.join(found.split())}")
            if "schema_migration" not in tables:
                return []
            return [name for (name,) in copy.execute("SELECT name FROM schema_migration")]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{source} is damaged: {error}") from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)


def _replace_sound(path: Path, new: Path, kept: Path, force: bool) -> None:
    """Put a new file in the place of a database, which becomes one file of another name."""
    with closing(_connect(path, "rw")) as old:
        is_there = old.execute("SELECT 1 FROM sqlite_master WHERE name = 'payment'").fetchone()
        files.check_force(force, old.execute("SELECT count(*) FROM payment").fetchone()[0] if is_there else 0)
        try:
            # Writes the -wal file into the database, and takes it away, but only if nobody else has it open.
            old.execute("PRAGMA journal_mode = delete")
            # Who opens it only now can do nothing to it: SQLite refuses to begin a -wal file once it has moved.
            old.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise BackupError(IN_USE) from error
            raise
        # A second name, not another one: at no instant is there no database, in whose place a start would make one.
        os.link(path, kept)
        kept.chmod(0o600)
        files.sync(path.parent)
        files.finish(new, path)


def _replace_damaged(path: Path, new: Path, kept: Path) -> None:
    """Put a new file in the place of what is left of a database, of which every file is kept by another name."""
    if path.exists() and _is_open(path):
        raise BackupError(IN_USE)
    for ending in ("", "-wal", "-journal"):
        if os.path.exists(f"{path}{ending}"):
            os.link(f"{path}{ending}", f"{kept}{ending}")
    files.sync(path.parent)
    # SQLite would write an old -wal file into the new database, and without it what is left may pass for sound. With
    # this in its place the service does not start.
    placeholder = new.with_name("placeholder")
    placeholder.write_text("A restore of the database was interrupted: run it again.\n")
    files.finish(placeholder, path)
    for ending in ("-wal", "-journal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    files.sync(path.parent)
    files.finish(new, path)


def _is_open(path: Path) -> bool:
    """Tell whether another process has a database open, also one that SQLite cannot read."""
    with open(path, "rb+") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
            return False
        except (BlockingIOError, PermissionError):
            return True
