"""Postings: each change of money, signed, in the closing that is open when it is made."""
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from peewee import ColumnBase, ModelInsert, ModelSelect, fn

from ..database import current, placeholder, prepared
from ..models import OpenClosing, Posting

# The sum of 64-bit numbers can exceed 64 bits, which is an error on SQLite. Both halves are added up separately.
HALF = 2**32


class Kind(StrEnum):
    """Why money changed."""

    PAYMENT = "payment"
    CORRECTION = "correction"
    REFUND = "refund"
    PAID_IN = "paid_in"
    PAID_OUT = "paid_out"
    # What payments from before the first closing, and imported ones, add up to. It is in no takings.
    CARRIED = "carried"


# The kinds that make up the takings.
TAKINGS = [Kind.PAYMENT, Kind.CORRECTION, Kind.REFUND]


class Change(NamedTuple):
    """A change of money by one method in one currency, in minor units: negative for a refund and for cash paid out.

    `tip_units` is what of it is a tip.
    """

    kind: Kind
    method_id: UUID
    currency_id: UUID
    minor_units: int
    tip_units: int = 0


def select_open_number() -> ModelSelect:
    """Select the number of the open closing; in a write, no closing comes in between until the write ends."""
    return current.for_share(OpenClosing.select(OpenClosing.number))


def add(changes: Iterable[Change], history_id: int, user_id: str | None, closing: int, business_date: date) -> None:
    """Add the postings of a history entry, with the number of its closing."""
    for change in changes:
        _insert.insert(
            history_id=history_id,
            method_id=change.method_id,
            currency_id=change.currency_id,
            user_id=user_id,
            kind=change.kind.value,
            closing=closing,
            business_date=business_date,
            minor_units=change.minor_units,
            tip_units=change.tip_units,
        )


@prepared
def _insert() -> ModelInsert:
    columns = [field for field in Posting._meta.sorted_fields if field is not Posting.id]
    return Posting.insert({field: placeholder(field) for field in columns})


def sum_halves(column: ColumnBase) -> list[ColumnBase]:
    """Return the sums of both halves of a column, from which `join_halves` makes the exact sum."""
    low = column.bin_and(HALF - 1)
    # SQLite and PostgreSQL both keep the sign: the low half is from 0 to 2**32 - 1, also of a negative number.
    return [fn.SUM((column - low) / HALF), fn.SUM(low)]


def join_halves(high: int, low: int) -> int:
    """Return a sum by the sums of its halves. PostgreSQL returns them as decimals."""
    return int(high) * HALF + int(low)
