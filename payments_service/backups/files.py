"""Shared by the backups of both engines: writing complete files, and checks before a restore."""
import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from ..database.locks import folder_lock
from ..database.migrating import MIGRATIONS

STAGING_PREFIX = ".payments-unfinished-"
FIRST_MIGRATION = "0001_first_tables"


class BackupError(Exception):
    """A backup or a restore failed. The message is one line that says why."""


class Progress(Protocol):
    """A callback for the progress of a step such as "Copying"."""

    def __call__(self, step: str, done: int = 0, total: int = 0) -> None:
        """Report that `done` of `total` units of a step are complete; the total is 0 if it is not known."""


@contextlib.contextmanager
def staging_folder(directory: Path) -> Iterator[Path]:
    """Provide a temporary folder inside `directory` for unfinished files.

    Files that are renamed from here to `directory` stay on the same file system, so the rename is atomic. Also removes
    staging folders that a killed process or a power failure left behind.
    """
    for leftover in directory.glob(f"{STAGING_PREFIX}*"):
        with contextlib.suppress(OSError), folder_lock(leftover, timeout_seconds=0):
            shutil.rmtree(leftover)
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=directory))
    try:
        # The lock tells other processes that this folder is in use. It ends with this process.
        with folder_lock(staging):
            yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def move_into_place(finished: Path, path: Path) -> None:
    """Atomically rename a finished file to `path`, readable and writable by its owner alone.

    When this returns, the file and its name are on disk. If the power fails earlier, `path` is either the new file or
    unchanged.
    """
    finished.chmod(0o600)
    chown_to_folder_owner(finished)
    fsync(finished)
    finished.replace(path)
    fsync(path.parent)


def chown_to_folder_owner(path: Path) -> None:
    """If this process runs as root, give a file to the owner of its folder, who is the service's user."""
    if os.geteuid() == 0:
        folder = path.parent.parent if path.parent.name.startswith(STAGING_PREFIX) else path.parent
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def fsync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_migrations(file: Path, applied: Collection[str]) -> None:
    """Raise `BackupError` unless a file with these applied migrations is a backup that this release can restore."""
    if FIRST_MIGRATION not in applied:
        raise BackupError(f"{file} is not a payments backup")
    unknown = sorted(set(applied) - {path.stem for path in MIGRATIONS.glob("*.py")})
    if unknown:
        raise BackupError(f"{file} was made by a newer release, which added {', '.join(unknown)}")


def require_force(force: bool, payments: int) -> None:
    """Raise `BackupError` for a database with that many payments, unless there are none or `force` is true."""
    if payments and not force:
        count = "1 payment" if payments == 1 else f"{payments} payments"
        raise BackupError(f"the database holds {count}: use --force to replace it; the old database is kept")
