"""The files of a SQLite database: the database itself, and the -wal and -shm file that SQLite keeps beside it."""
import contextlib
import logging
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from ..errors import UnusableDatabase
from . import timeouts
from .locks import POLL_SECONDS

# How long other connections may keep a lost -wal file from being moved into the database.
CHECKPOINT_TIMEOUT_SECONDS = 1

MOUNTS = Path("/proc/self/mountinfo")

# The device and inode of a file, None if it is missing.
Identity = tuple[int, int] | None

logger = logging.getLogger(__name__)


class SqliteFiles:
    """The three files of a database: that they stay the same while the service runs, and have one path each.

    What is written to a deleted -wal file is lost if the process is killed. In WAL mode SQLite itself deletes the -wal
    and -shm file only when the last connection closes. So one connection stays open while the files are watched. It
    also keeps their inodes from being used for other files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wal, self.shm = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
        # The database last: where its folder is moved away during the look at the others, it is missing too.
        self._paths = [str(self.wal), str(self.shm), str(path)]
        # Why the service has to start again: the -wal or -shm file was another one.
        self.lost: str | None = None
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        # The identities of all three while they are watched, and that of the database also after `close`.
        self._watched: list[Identity] | None = None
        self._database: Identity = None

    @property
    def are_watched(self) -> bool:
        """Tell whether all three files are watched."""
        return self._watched is not None

    def watch(self) -> None:
        """Begin to watch the files, or all three again after `close`: from now on they have to stay the same.

        Of a database that takes no writes, the -wal and -shm file are not watched yet. Raises `sqlite3.Error`, and
        `UnusableDatabase` where another path leads to the database.
        """
        with self._lock:
            if self._watched is not None or self.lost:
                return
            if self._database is None:
                self.reject_second_path()
            with contextlib.ExitStack() as unless_kept:
                connection = unless_kept.enter_context(contextlib.closing(self._open(timeouts.LOCK_TIMEOUT_SECONDS)))
                connection.execute("PRAGMA synchronous = full")
                (mode,) = connection.execute("PRAGMA journal_mode = wal").fetchone()
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
                found = self._identify()
                if found[-1] is None or self._database not in (None, found[-1]) or (mode == "wal" and None in found):
                    raise sqlite3.OperationalError("a file was deleted or replaced while it was opened")
                self._database = found[-1]
                # While a connection that cannot write is open, SQLite lets no other one of the process write either.
                if all(os.access(path, os.W_OK) for path in self._paths if os.path.exists(path)):
                    self._connection, self._watched = connection, found
                    unless_kept.pop_all()

    def _open(self, timeout: float) -> sqlite3.Connection:
        uri = f"{self.path.as_uri()}?mode=rw"
        return sqlite3.connect(uri, timeout, isolation_level=None, check_same_thread=False, uri=True)

    def close(self) -> None:
        """Watch the database alone, so that SQLite may delete the other two files."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._watched = None

    def reset(self) -> None:
        """Watch nothing until the next `watch`."""
        self.close()
        self._database = self.lost = None

    def find_fault(self) -> str | None:
        """Return in one line which file was deleted or replaced while it was watched, or None.

        What a lost -wal file holds is moved into the database, and the fault stays until `reset`.
        """
        if self.lost or self._database is None:
            return self.lost
        found = self._identify()
        if found[-1] != self._database:
            return describe_loss(self._paths[-1], "put the right one there and start again")
        if self._watched is None or found == self._watched:
            return None
        return self._give_up()

    def _identify(self) -> list[Identity]:
        return [identify(path) for path in self._paths]

    def _give_up(self) -> str | None:
        with self._lock:
            connection, watched, found = self._connection, self._watched, self._identify()
            # Another thread was here before, or the folder was moved away and back.
            if connection is None or watched is None or found == watched or found[-1] != self._database:
                return self.lost
            changed = next(path for path, before, now in zip(self._paths, watched, found) if before != now)
            self.lost = describe_loss(changed, "start the service again")
            self._connection = self._watched = None
        with contextlib.closing(connection):
            try:
                connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_TIMEOUT_SECONDS * 1000}")
                blocked, *_ = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
                result = "not all of its payments are in the database yet" if blocked else "its payments were saved"
            except sqlite3.Error as error:
                result = f"its payments could not be saved: {error}"
        logger.error("%s; %s", self.lost, result)
        return self.lost

    def reject_second_path(self) -> None:
        """Raise `UnusableDatabase` where another path leads to the database, or another process uses a lost -wal file.

        Each path has a -wal file of its own, and what is written through one destroys what was written through another.
        """
        if not os.path.isfile(self.path):
            return
        if self._count_names() > 1:
            raise UnusableDatabase(
                "it has a second name (a hard link), and each name would get a -wal file of its own: remove the other "
                f"name, which is found with: find / -xdev -samefile {self.path}"
            )
        for mounted in self._find_mounts():
            raise UnusableDatabase(
                f"the file by itself is mounted at {mounted}, and each of its paths would get a -wal file of its own: "
                "mount its folder instead"
            )
        self._wait_for_wal()

    def _count_names(self) -> int:
        """Return how many names the file has, other than those that an interrupted restore has left."""
        kept = [path for path in self.path.parent.iterdir() if path.name.startswith(f"{self.path.name}.before-")]
        return self.path.stat().st_nlink - sum(path.samefile(self.path) for path in kept)

    def _find_mounts(self) -> Iterator[Path]:
        """Yield where the file itself is mounted, as Docker does it with a volume of one file."""
        with contextlib.suppress(OSError):
            for line in MOUNTS.read_text(errors="surrogateescape").splitlines():
                # proc(5): the mounted file or folder in its file system, and the mount point.
                root, point = (unescape_mount(field) for field in line.split(" ")[3:5])
                # Only such a mount point is looked at, since a network share may hang.
                may_be = point == str(self.path) or os.path.basename(root) == self.path.name
                if may_be and identify(Path(point)) == identify(self.path):
                    yield Path(point)

    def _wait_for_wal(self) -> None:
        """Wait until nobody has the database open without its -wal file; raises `UnusableDatabase`."""
        deadline = monotonic() + timeouts.LOCK_TIMEOUT_SECONDS
        while not self.wal.exists() and self._is_open_elsewhere():
            if monotonic() >= deadline:
                raise UnusableDatabase(f"another process has it open, but {self.wal} was deleted: stop that one first")
            sleep(POLL_SECONDS)

    def _is_open_elsewhere(self) -> bool:
        """Tell whether another connection is open, while there is no -wal file that this would move."""
        with contextlib.closing(self._open(timeout=0)) as connection:
            try:
                connection.execute("PRAGMA locking_mode = exclusive")
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
                return False
            except sqlite3.DatabaseError as error:
                return error.sqlite_errorname.startswith("SQLITE_BUSY")


def identify(path: str | Path) -> Identity:
    """Return the device and inode of a file, None if it is missing."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def describe_loss(path: str, advice: str) -> str:
    """Return in one line that a file is lost, and what to do."""
    return f"the file {path} was deleted or replaced while the service ran: {advice}"


def unescape_mount(field: str) -> str:
    r"""Return a field of mountinfo, in which blanks and backslashes are octal, such as \040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
