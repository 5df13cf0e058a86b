"""Backups of SQLite: each is a complete database in one file."""
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ..database.locks import folder_lock, is_open_elsewhere
from ..database.sqlite import Sqlite
from ..errors import DamagedDatabase, UnusableDatabase
from . import files
from .files import BackupError, Progress

# Pages, of 4 KiB each, to copy before progress is reported again.
PAGES_PER_STEP = 1024
IN_USE = "the database is in use: stop the service first"


def back_up(database: Sqlite, backup: Path, progress: Progress) -> None:
    """Write a backup; raises `BackupError`, OSError and sqlite3.Error."""
    if not database.path.exists():
        raise BackupError(f"there is no database {database.path}")
    try:
        database.reject_second_path()
    except UnusableDatabase as error:
        raise BackupError(f"{database.path} cannot be backed up: {error}") from error
    with files.staging_folder(backup.parent) as staging:
        copy = staging / backup.name
        if files.FIRST_MIGRATION not in _copy(database.path, copy, progress):
            raise BackupError(f"{database.path} is not a payments database")
        files.move_into_place(copy, backup)


def restore(database: Sqlite, file: Path, timestamp: str, force: bool, progress: Progress) -> Path | None:
    """Restore a backup and return the path of the old database, if there was one.

    Raises `BackupError`, OSError and sqlite3.Error.
    """
    path = database.path
    if path.exists() and file.samefile(path):
        raise BackupError(f"{file} is the database itself")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with files.staging_folder(path.parent) as staging:
        new = staging / path.name
        files.check_migrations(file, _copy(file, new, progress))
        kept = path.with_name(f"{path.name}.before-{timestamp}")
        with folder_lock(path.parent):
            try:
                database.check()
            except DamagedDatabase as error:
                if not force:
                    raise BackupError(f"the database cannot be read ({error}): use --force to replace it") from error
                _replace_damaged(path, new, kept)
                return kept
            except UnusableDatabase as error:
                raise BackupError(f"{path} cannot be replaced: {error}") from error
            if path.exists():
                _replace_intact(path, new, kept, force)
                return kept
            files.move_into_place(new, path)
            return None


def _copy(source: Path, target: Path, progress: Progress) -> list[str]:
    """Copy a consistent snapshot of a database to one file, and return the names of its applied migrations.

    Other processes may write to the source meanwhile. Raises `BackupError` if the copy is damaged, and sqlite3.Error.
    """
    try:
        with closing(_connect(source, "ro")) as source_db, closing(_connect(target, "rwc")) as copy:
            # The finished file is synced as a whole.
            copy.execute("PRAGMA synchronous = off")
            # Without a read transaction, each write of another process makes the backup start from the beginning.
            source_db.execute("BEGIN")
            tables = {name for (name,) in source_db.execute("SELECT name FROM sqlite_master")}
            source_db.backup(
                copy,
                pages=PAGES_PER_STEP,
                progress=lambda _, remaining, total: progress("Copying", total - remaining, total),
            )
            progress("Checking")
            # The copy inherits WAL mode, in which reading it would need further files.
            copy.execute("PRAGMA journal_mode = delete")
            (result,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if result != "ok":
                raise BackupError(f"{source} is damaged: {' '.join(result.split())}")
            if "schema_migration" not in tables:
                return []
            return [name for (name,) in copy.execute("SELECT name FROM schema_migration")]
    except sqlite3.OperationalError:
        # For example a full disk or a locked file, which is not damage.
        raise
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{source} is damaged: {error}") from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)


def _replace_intact(path: Path, new: Path, kept: Path, force: bool) -> None:
    """Replace a database that can be read. It is kept as one file under another name."""
    with closing(_connect(path, "rw")) as old:
        has_payments = old.execute("SELECT 1 FROM sqlite_master WHERE name = 'payment'").fetchone()
        files.require_force(force, old.execute("SELECT count(*) FROM payment").fetchone()[0] if has_payments else 0)
        try:
            # Moves the content of the -wal file into the database and deletes that file. This fails while another
            # connection is open.
            old.execute("PRAGMA journal_mode = delete")
            # Blocks connections that open from now on. When this lock ends, SQLite does not let them start a -wal file,
            # because the database file has moved.
            old.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise BackupError(IN_USE) from error
            raise
        # A hard link, not a rename: if the path were free for a moment, a starting service would create a database.
        os.link(path, kept)
        kept.chmod(0o600)
        files.fsync(path.parent)
        files.move_into_place(new, path)


def _replace_damaged(path: Path, new: Path, kept: Path) -> None:
    """Replace a damaged or missing database. All files that are left of it are kept under other names."""
    if path.exists() and is_open_elsewhere(path):
        raise BackupError(IN_USE)
    for suffix in ("", "-wal", "-journal"):
        if os.path.exists(f"{path}{suffix}"):
            os.link(f"{path}{suffix}", f"{kept}{suffix}")
    files.fsync(path.parent)
    # The old -wal file has to go first, because SQLite would apply it to the new database. But without its -wal file,
    # the old database might pass the check of the next start. The placeholder fails that check if the restore is
    # interrupted between these steps.
    placeholder = new.with_name("placeholder")
    placeholder.write_text("A restore of the database was interrupted: run it again.\n")
    files.move_into_place(placeholder, path)
    for suffix in ("-wal", "-journal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    files.fsync(path.parent)
    files.move_into_place(new, path)
