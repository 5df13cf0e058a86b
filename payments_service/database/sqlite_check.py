"""Looking for damage in a SQLite file, table by table, so that the check can pause and go on."""
import contextlib
import logging
import os
import sqlite3
import threading
from pathlib import Path

from . import timeouts

# The lowest priority: the check is to take what the service leaves of the processors and the disk.
NICE = 19
STOP_POLL_SECONDS = 1 / 10

logger = logging.getLogger(__name__)


class SqliteCheck:
    """SQLite's quick_check of a file. `damage` is the first damage that was found, in one line, or None.

    Each table, with its indexes, is a read transaction of its own: SQLite cannot use the -wal file from its beginning
    while one is open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: str | None = None
        self._unchecked: list[str] | None = None
        self._stopping = False
        self._connection: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_complete(self) -> bool:
        """Tell whether the whole file was checked, or damage was found."""
        return self.damage is not None or self._unchecked == []

    def run(self, seconds: float | None = None) -> None:
        """Check what was not checked yet, for so many seconds at most; raises `sqlite3.OperationalError` if it cannot.

        Nothing is changed, unless a power cut interrupted a write, which SQLite has to roll back first.
        """
        self._stopping = seconds is not None and seconds <= 0
        timer = threading.Timer(seconds, self._interrupt) if seconds else None
        if timer:
            timer.start()
        try:
            self._check("ro")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_READONLY"):
                raise
            self._check("rw")
        finally:
            if timer:
                timer.cancel()
                timer.join()

    def _check(self, mode: str) -> None:
        uri, timeout = f"{self.path.as_uri()}?mode={mode}", timeouts.LOCK_TIMEOUT_SECONDS
        connection = sqlite3.connect(uri, timeout, isolation_level=None, check_same_thread=False, uri=True)
        with contextlib.closing(connection):
            self._connection = connection
            try:
                self._check_tables(connection)
            except sqlite3.OperationalError as error:
                # For example a locked file, which is not damage.
                if error.sqlite_errorname != "SQLITE_INTERRUPT":
                    raise
            except sqlite3.DatabaseError as error:
                self.damage = str(error)
            finally:
                self._connection = None

    def _check_tables(self, connection: sqlite3.Connection) -> None:
        if self._unchecked is None:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            # With the schema itself, SQLite checks the list of free pages too.
            self._unchecked = ["sqlite_master", *(name for (name,) in tables)]
        while self._unchecked and not self._stopping:
            (found,) = connection.execute(f'PRAGMA quick_check("{self._unchecked[0]}")').fetchone()
            if found != "ok":
                self.damage = " ".join(found.split())
                return
            del self._unchecked[0]

    def _interrupt(self) -> None:
        self._stopping = True
        connection = self._connection
        if connection is not None:
            # It may have been closed just now.
            with contextlib.suppress(sqlite3.ProgrammingError):
                connection.interrupt()

    def start(self) -> None:
        """Check the rest in a thread of the lowest priority. The log says how it ends."""
        self._thread = threading.Thread(target=self._run_beside, name="check", daemon=True)
        self._thread.start()

    def _run_beside(self) -> None:
        # On Linux, a thread has a priority of its own. Elsewhere the check runs with that of the service.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        logger.info("Checking the database for damage while the service runs")
        try:
            self.run()
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_IOERR"):
                logger.warning("The database could not be checked for damage: %s", error)
                return
            self.damage = f"it cannot be read: {error}"
        if self.damage is not None:
            logger.error("%s", describe_damage(self.damage))
        elif self.is_complete:
            logger.info("The database was checked and is intact")

    def stop(self) -> None:
        """End the thread, wherever the check is."""
        while self._thread is not None and self._thread.is_alive():
            self._interrupt()
            self._thread.join(STOP_POLL_SECONDS)
        self._thread = None


def describe_damage(damage: str) -> str:
    """Return in one line that the database is damaged, and what to do."""
    return f"The database is damaged: {damage}: stop the service and restore a backup with --force."
