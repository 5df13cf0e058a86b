"""Whether this machine's clock is right, as far as the database can tell."""
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from peewee import Expression, fn

from ..database import current
from ..models import History, IdempotencyKey, Payment, TimestampField

# The clocks of machines that share a database may differ by this much.
TOLERANCE = timedelta(minutes=5)
# No payment is older. The clock of a box without a battery starts earlier than this.
EARLIEST_PAYMENT = datetime(2025, 1, 1, tzinfo=timezone.utc)
# What comes later is left out: PostgreSQL's infinity, and text that is no time, which SQLite takes in an edit by hand.
LATEST_MOMENT = datetime(9999, 12, 30, tzinfo=timezone.utc)
# How many entries of the history and how many keys are searched, the newest ones: their times have no index.
SEARCHED_ENTRIES = 1000


def find_clock_faults() -> Iterator[str]:
    """Yield how the clock differs from what the database says, each in one line; nothing if it seems right."""
    # On SQLite, this machine's.
    server_time = current.now()
    now = datetime.now(timezone.utc)
    if now < EARLIEST_PAYMENT - TOLERANCE:
        yield f"{now:%Y-%m-%d %H:%M} UTC is in the past"
    newest = find_newest_moment()
    if newest and newest - now > TOLERANCE:
        yield f"{_compare(now, newest)} the newest moment stored: it is behind now, or was ahead then"
    if abs(server_time - now) > TOLERANCE:
        yield f"{_compare(now, server_time)} the database server's clock: one of the two is wrong"


def _compare(now: datetime, other: datetime) -> str:
    difference = timedelta(seconds=abs(other - now) // timedelta(seconds=1))
    return f"{now:%Y-%m-%d %H:%M} UTC is {difference} {'behind' if now < other else 'ahead of'}"


def find_newest_moment() -> datetime | None:
    """Return the newest moment that is stored, None if there is none.

    Changes, deletions and links are in the history too. A payment that was recorded with a wrong clock hides none.
    """
    newest_key = IdempotencyKey.select(fn.MAX(IdempotencyKey.number)).scalar() or 0
    newest_entry = History.select(fn.MAX(History.id)).scalar() or 0
    moments = [
        _find_newest(Payment.created_at),
        _find_newest(IdempotencyKey.created_at, IdempotencyKey.number > newest_key - SEARCHED_ENTRIES),
        _find_newest(History.at, History.id > newest_entry - SEARCHED_ENTRIES),
    ]
    return max((moment for moment in moments if moment), default=None)


def _find_newest(column: TimestampField, *conditions: Expression) -> datetime | None:
    moments = column.model.select(column).where(column < LATEST_MOMENT, *conditions)
    newest: datetime | None = moments.order_by(column.desc()).limit(1).scalar()
    return newest
