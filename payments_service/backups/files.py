"""What backups of both engines share: files that are finished or not there, and what is in them."""
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from ..database.migrating import MIGRATIONS

UNFINISHED = ".payments-unfinished-"
FIRST_MIGRATION = "0001_first_tables"


class BackupError(Exception):
    """A backup was not made or not restored; the text is one line that says why."""


class Progress(Protocol):
    """Is told what is being done and, where that is known, how much of it is done."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        """Take note of it."""


@contextlib.contextmanager
def unfinished(directory: Path) -> Iterator[Path]:
    """Lend a folder inside of another for what is not finished yet, and remove those that a power cut has left."""
    for left in directory.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError), locked(left, fcntl.LOCK_NB):
            shutil.rmtree(left)
    lent = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=directory))
    try:
        # Nobody else removes it while the lock is held, which ends with this process.
        with locked(lent):
            yield lent
    finally:
        shutil.rmtree(lent, ignore_errors=True)


@contextlib.contextmanager
def locked(directory: Path, flags: int = 0) -> Iterator[None]:
    """Hold a folder's lock, which on the folder of a SQLite file keeps others from migrating it and writing to it."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(descriptor)


def finish(made: Path, path: Path) -> None:
    """Give a file that is complete its place, for its owner alone. It is on the disk then, or else what was there."""
    made.chmod(0o600)
    give_to_owner(made)
    sync(made)
    made.replace(path)
    sync(path.parent)


def give_to_owner(path: Path) -> None:
    """Give what root has made to whom the folder around it belongs to, which is the service's user."""
    if os.geteuid() == 0:
        owner = path.parent.stat() if not path.parent.name.startswith(UNFINISHED) else path.parent.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def sync(path: Path) -> None:
    """Return once a file's content, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_release(file: Path, migrations: Collection[str]) -> None:
    """Raise `BackupError` unless these migrations make a file a backup that this release can restore."""
    if FIRST_MIGRATION not in migrations:
        raise BackupError(f"{file} is not a backup of payments")
    unknown = sorted(set(migrations) - {path.stem for path in MIGRATIONS.glob("*.py")})
    if unknown:
        raise BackupError(f"{file} is of a newer release, with {', '.join(unknown)}")


def check_force(force: bool, payments: int) -> None:
    """Raise `BackupError` for a database that holds payments unless it is to be replaced by force."""
    if payments and not force:
        hold = "1 payment" if payments == 1 else f"{payments} payments"
        raise BackupError(f"the database holds {hold}: with --force it is replaced, and the old one is kept")
