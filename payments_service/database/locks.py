"""Locks that processes on one box share, by the folder of a SQLite file."""
import contextlib
import fcntl
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import peewee

from . import timeouts

POLL_SECONDS = 1 / 1000
# Every open connection to a SQLite file holds a shared lock on these bytes (https://sqlite.org/src/file/src/os.h).
SHARED_FIRST, SHARED_SIZE = 0x40000002, 510

# `time.sleep` waits until a moment of the monotonic clock, which libfaketime 0.9.10 takes for one of the wall clock: in
# tests with a wrong clock it fails, or sleeps for days. An event that never happens waits for the right time.
sleep = threading.Event().wait


@contextlib.contextmanager
def folder_lock(folder: Path, timeout_seconds: float | None = None) -> Iterator[bool]:
    """Hold the exclusive lock of a folder, which all processes share; without a timeout, wait for as long as it takes.

    Yields whether another process had it. Raises TimeoutError, and OSError for a folder that cannot be opened. The
    folder is locked and not the database file: closing any descriptor of that file would drop the locks that SQLite
    holds on it (fcntl(2)).
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        was_free = _try_lock(descriptor)
        if not was_free and timeout_seconds is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        elif not was_free:
            _lock_before(descriptor, monotonic() + (timeout_seconds or 0))
        yield not was_free
    finally:
        os.close(descriptor)


def _lock_before(descriptor: int, deadline: float) -> None:
    while not _try_lock(descriptor):
        if monotonic() >= deadline:
            raise TimeoutError("the folder is locked by another process")
        sleep(POLL_SECONDS)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def is_open_elsewhere(path: Path) -> bool:
    """Tell whether another process has a SQLite file open. Works for damaged files too, which SQLite cannot open.

    Call it before this process opens the file: it drops the locks that SQLite holds for this process (fcntl(2)).
    """
    with open(path, "rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
            return False
        except (BlockingIOError, PermissionError):
            return True


class WriteLock:
    """Cross-process write lock for a SQLite folder. Avoids starvation by SQLite's busy handler.

    SQLite alone lets a waiting writer poll at ever longer intervals: with two processes of eight writers and a slow
    disk, the longest wait was 4.6 s, and 0.8 s with this lock.

    A context manager. Raises `peewee.OperationalError` if the lock is not free in time.
    """

    # A process that has written for this long pauses, so that another process can take the lock, if there was one that
    # had it lately. Alone, every twelfth POST under load would take 3 ms longer.
    BURST_SECONDS = 100 / 1000
    PAUSE_SECONDS = 3 / 1000
    LATELY_SECONDS = 10

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._thread_lock = threading.Lock()
        self._process_lock = contextlib.ExitStack()
        self._burst_started = self._last_release = monotonic()
        # When another process had the lock.
        self._last_rival = -math.inf

    def __enter__(self) -> None:
        timeout = timeouts.find_lock_timeout()
        deadline = monotonic() + timeout
        if not self._thread_lock.acquire(timeout=timeout):
            raise peewee.OperationalError("other writes of this process took too long")
        try:
            self._pause_after_burst()
            if self._process_lock.enter_context(folder_lock(self.folder, max(0, deadline - monotonic()))):
                self._last_rival = monotonic()
        except BaseException as error:
            self._thread_lock.release()
            if isinstance(error, TimeoutError):
                raise peewee.OperationalError("writes of other processes took too long") from None
            if isinstance(error, OSError):
                raise peewee.OperationalError(str(error)) from error
            raise

    def _pause_after_burst(self) -> None:
        has_rival = monotonic() - self._last_rival < self.LATELY_SECONDS
        if has_rival and self._last_release - self._burst_started > self.BURST_SECONDS:
            pause = self._last_release + self.PAUSE_SECONDS - monotonic()
            if pause > 0:
                sleep(pause)
        if monotonic() - self._last_release >= self.PAUSE_SECONDS:
            self._burst_started = monotonic()

    def __exit__(self, *_: object) -> None:
        self._process_lock.close()
        self._last_release = monotonic()
        self._thread_lock.release()
