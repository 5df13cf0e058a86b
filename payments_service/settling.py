"""Settling: the Lightning node is asked which invoices are paid, and the payments are recorded.

No notification is needed or trusted. What a node says of an invoice is recorded exactly once, whoever asks: threads of
several processes and the command may do so at the same time.
"""
import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from time import monotonic
from typing import Any
from uuid import UUID

from . import store
from .database import DATABASE_FAULTS, current
from .errors import BackendFault
from .lightning import Backend, Look
from .metrics import Metrics
from .store.lightning_invoices import StoredState, Watched

# All in seconds of the monotonic clock: the wall clock may be set while the service runs.
# From one look at an invoice to the next, while it can be paid.
LOOK_SECONDS = 1
# Later, from one to the next if somebody wakes the thread.
LATE_LOOK_SECONDS = 10
# Once it has expired, a tenth of the time since then.
BACKOFF_DIVISOR = 10
# An invoice that expired before the start, by the wall clock, counts as expired for no longer than this.
MAX_OVERTIME_AT_START = 100
DAY = 86_400
HOUR = 3600
# How long an expired invoice is watched. One that the node does not know may be in a backup that it gets back.
WATCHED_SECONDS = DAY
WATCHED_SECONDS_IF_UNKNOWN = 30 * DAY
# After a fault, the node is left alone for a second, then for twice as long each time.
MAX_PAUSE_SECONDS = 30
# A round with many looks ends, so that new invoices get their turn.
ROUND_SECONDS = 2

logger = logging.getLogger(__name__)


@dataclass
class _Schedule:
    """When to look at an invoice, in monotonic seconds."""

    first_seen: float
    # When it expires. Setting the wall clock later changes nothing.
    expires: float
    last_look: float | None = None
    # Whether the node knew the invoice at the last look.
    is_known: bool = False
    # Looks that failed since the last that did not.
    faults: int = 0

    def interval(self, now: float) -> float:
        """Return the seconds from the last look to the next."""
        overtime = now - self.expires
        interval = max(LOOK_SECONDS, overtime / BACKOFF_DIVISOR)
        # An invoice that always fails does not keep the node from being asked about others.
        return max(interval, min(2**min(self.faults, 10), MAX_PAUSE_SECONDS)) if self.faults else interval

    def next_look(self, now: float, is_woken: bool = False) -> float:
        """Return when the next look is due."""
        if self.last_look is None:
            return -math.inf
        interval = self.interval(now)
        if is_woken:
            interval = min(interval, LOOK_SECONDS if now < self.expires else LATE_LOOK_SECONDS)
        return self.last_look + interval

    def is_over(self, now: float, expired_at: datetime) -> bool:
        """Tell whether to stop looking, after a look that found no payment.

        The wall clock counts only after an hour: one that was years behind may just have been set.
        """
        watched = WATCHED_SECONDS if self.is_known else WATCHED_SECONDS_IF_UNKNOWN
        if now - self.expires >= watched:
            return True
        overdue = datetime.now(timezone.utc) - expired_at
        return now - self.first_seen >= HOUR and overdue >= timedelta(seconds=watched)


class Stopped(Exception):
    """The settler was stopped, so the database is not used any more."""


class Settler:
    """Asks one node about the invoices of one application, and records what was paid. Only one thread runs rounds."""

    def __init__(
        self,
        backend: Backend,
        metrics: Metrics,
        use_database: Callable[[], AbstractContextManager[Any]],
        notify: Callable[[], None],
    ) -> None:
        """Take what makes the application's database the current one, and what to call after a payment."""
        self.backend = backend
        self._metrics = metrics
        self._use_database = use_database
        self._notify = notify
        self._schedules: dict[UUID, _Schedule] = {}
        # Calls of the node that failed since the last one that did not, and the monotonic time to call it again.
        self._faults = 0
        self._paused_until: float = 0
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._database_lock = threading.Lock()

    def wake(self) -> None:
        """Let `wait` return, and the next round look earlier."""
        self._woken.set()

    def stop(self, timeout_seconds: float) -> None:
        """End `wait` and the round that runs. A transaction gets some time to end; a call of the node gets none."""
        self._stopping.set()
        self._woken.set()
        if self._database_lock.acquire(timeout=timeout_seconds):
            self._database_lock.release()

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until somebody calls `wake` or `stop`; tell whether to go on."""
        self._woken.wait(seconds)
        return not self._stopping.is_set()

    def run_round(self, is_whole: bool = False) -> tuple[int, BackendFault | None]:
        """Ask about the invoices that are due; return how many payments were recorded, and the node's last fault.

        A whole round asks about all, however long it takes. What else keeps a payment from being recorded, such as an
        error of the database, is raised at the end. Raises `Stopped` after a call of `stop`.
        """
        is_woken = self._woken.is_set()
        self._woken.clear()
        with self._database():
            watched = store.lightning_invoices.list_watched()
        self._observe(watched)
        started = monotonic()
        if started < self._paused_until and not (is_woken or is_whole):
            return 0, None
        due = [
            invoice for invoice in watched if is_whole or self._find(invoice).next_look(started, is_woken) <= started
        ]
        # Those first that have waited for too long. Of new ones, those that can be paid for the longest time.
        due.sort(key=lambda invoice: (self._find(invoice).next_look(started), -self._find(invoice).expires))
        return self._look_at_all(due, math.inf if is_whole else started + ROUND_SECONDS)

    def _find(self, invoice: Watched) -> _Schedule:
        return self._schedules[invoice.id]

    def _look_at_all(self, due: list[Watched], deadline: float) -> tuple[int, BackendFault | None]:
        recorded, fault, failure = 0, None, None
        for invoice in itertools.takewhile(lambda _: monotonic() <= deadline, due):
            try:
                recorded += self._look_at(invoice)
            except BackendFault as error:
                fault = error
                if self._note_fault(invoice, error):
                    break
            except Stopped:
                raise
            except Exception as error:
                # That of one invoice, perhaps: the others have their turn first.
                self._find(invoice).faults += 1
                failure = error
        if failure:
            raise failure
        return recorded, fault

    @contextmanager
    def _database(self) -> Iterator[None]:
        """Make the application's database the current one, unless the service stops."""
        with self._database_lock:
            if self._stopping.is_set():
                raise Stopped
            with self._use_database():
                try:
                    yield
                except DATABASE_FAULTS:
                    # The connection may be broken.
                    current.manual_close()
                    raise

    def _observe(self, watched: list[Watched]) -> None:
        """Schedule new invoices, forget those that are not watched any more, and set the metrics."""
        now, wall_clock = monotonic(), datetime.now(timezone.utc)
        schedules = {}
        for invoice in watched:
            left = (invoice.expires_at - wall_clock).total_seconds()
            # Nothing is sure of an invoice that a clock which is years behind, or was, made expire.
            expires = now + min(max(left, -MAX_OVERTIME_AT_START), DAY)
            schedules[invoice.id] = self._schedules.get(invoice.id) or _Schedule(now, expires)
        self._schedules = schedules
        created = [
            invoice.created_at
            for invoice in watched
            if invoice.state == StoredState.OPEN and invoice.expires_at > wall_clock
        ]
        self._metrics.open_invoices.set(len(created))
        oldest = (wall_clock - min(created)).total_seconds() if created else 0
        self._metrics.oldest_open_seconds.set(max(oldest, 0))

    def _look_at(self, invoice: Watched) -> bool:
        """Ask the node about an invoice, and record its payment; tell whether a payment was recorded."""
        schedule = self._find(invoice)
        try:
            look = self.backend.look(invoice.payment_hash)
        finally:
            schedule.last_look = monotonic()
        self._faults = self._paused_until = 0
        schedule.is_known = look is not None
        if look is not None and look.paid:
            recorded = self._settle(invoice, look)
            schedule.faults = 0
            return recorded
        schedule.faults = 0
        if schedule.is_over(monotonic(), invoice.expires_at):
            with self._database():
                store.lightning_invoices.stop_watching(invoice.id)
        return False

    def _settle(self, invoice: Watched, look: Look) -> bool:
        with self._database():
            settlement = store.lightning_invoices.settle(
                invoice.id, received_msat=look.received_msat, fees_msat=look.fees_msat
            )
        if not settlement.is_new:
            return False
        settled = settlement.invoice
        if settlement.is_short:
            logger.error(
                "Less arrived for a Lightning invoice than was asked, so no payment was recorded",
                extra={"invoice": settled.id, "asked_sat": settled.amount_sat, "received_msat": look.received_msat},
            )
            return False
        logger.info("A Lightning invoice was paid", extra={"invoice": settled.id, "payment": settled.payment_id})
        seconds = (datetime.now(timezone.utc) - settled.created_at).total_seconds()
        self._metrics.settle_seconds.observe(max(seconds, 0))
        self._notify()
        return True

    def _note_fault(self, invoice: Watched, fault: BackendFault) -> bool:
        """Note a fault of the node at an invoice, and tell whether to leave the node alone for now.

        One fault may be that of a single invoice. If the next one fails too, it is the node's.
        """
        self._metrics.backend_errors.labels(self.backend.name).inc()
        schedule = self._find(invoice)
        schedule.faults += 1
        self._faults += 1
        if self._faults == 1:
            if schedule.faults == 1:
                # Once, and not for each attempt of an outage.
                logger.error("The Lightning node failed: %s", fault.reason)
            return False
        self._paused_until = monotonic() + min(2**min(self._faults - 2, 10), MAX_PAUSE_SECONDS)
        return True
