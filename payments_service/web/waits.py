"""Waiting in a request, for the Lightning node or for an invoice to be paid: in half of the threads at most."""
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from ..errors import Busy

# A request may stand in line for this long. Many at once for a node that responds in time all get their turn.
LINE_SECONDS = 1 / 2
# Another process may have changed what a request waits for.
LOOK_SECONDS = 1


class Waits:
    """The requests of one application that wait. Those that wait for a node go first: they make something."""

    def __init__(self, threads: int) -> None:
        self._limit = max(1, threads // 2)
        # A single thread waits for nothing that may never happen.
        self._may_look = threads > 1
        self._changed = threading.Condition()
        self._waiting = self._in_line = self._changes = 0
        self._is_stopped = False

    @contextmanager
    def for_node(self) -> Iterator[None]:
        """Be one of the requests that wait for a node; raises `Busy` if there are too many."""
        with self._changed:
            self._in_line += 1
            # Requests that only look give way.
            self._changed.notify_all()
            try:
                has_turn = self._changed.wait_for(lambda: self._waiting < self._limit, LINE_SECONDS)
            finally:
                self._in_line -= 1
            if not has_turn:
                raise Busy("Other requests wait for the Lightning node: try again.")
            self._waiting += 1
        try:
            yield
        finally:
            self._leave()

    def until(self, is_met: Callable[[], bool], seconds: int) -> None:
        """Return once a condition is met, after so many seconds, or at once if too many requests wait.

        The condition reads the database: it is checked after each change that this process notices, and each second.
        """
        deadline = monotonic() + seconds
        with self._changed:
            if not self._may_look or self._waiting >= self._limit or self._is_over(deadline):
                return
            self._waiting += 1
        try:
            changes = self._changes
            while not is_met() and not self._sleep(changes, deadline):
                changes = self._changes
        finally:
            self._leave()

    def _sleep(self, changes: int, deadline: float) -> bool:
        """Sleep until the next check is due, and tell whether the wait is over. `changes` is what the last one knew."""
        with self._changed:
            timeout = min(LOOK_SECONDS, deadline - monotonic())
            self._changed.wait_for(lambda: self._changes != changes or self._is_over(deadline), max(0, timeout))
            return self._is_over(deadline)

    def _is_over(self, deadline: float) -> bool:
        return self._is_stopped or bool(self._in_line and self._waiting >= self._limit) or monotonic() >= deadline

    def notify(self) -> None:
        """Let those who wait for an invoice look again."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End all waits for invoices, now and later: the service stops."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()
