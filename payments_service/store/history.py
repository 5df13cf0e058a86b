"""The history: who did what to which payment, and when."""
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import peewee
from peewee import ModelInsert

from ..codec import encode
from ..database import placeholder, prepared
from ..models import History
from . import business_days, postings
from .pages import Page, iterate_rows
from .postings import Change


class Action(StrEnum):
    """What was done to a payment, or to the cash in a drawer."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    LINKED = "linked"
    UNLINKED = "unlinked"
    PAID_IN = "paid_in"
    PAID_OUT = "paid_out"
    REFUNDED = "refunded"
    REFUND_DELETED = "refund_deleted"
    IMPORTED = "imported"


class Caller(NamedTuple):
    """Who made a request: the access token's user, None if it names none, and the request's id."""

    user_id: str | None
    request_id: str


class HistoryEntry(msgspec.Struct, frozen=True):
    """An entry as the API shows it; `codec.encode` writes it as JSON."""

    at: str
    user_id: str | None
    request_id: str
    action: str
    before: msgspec.Raw | None
    after: msgspec.Raw | None

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> "HistoryEntry":
        """Return the entry in a row of its columns."""
        at, user_id, request_id, action, before, after = row
        return cls(at.isoformat(), user_id, request_id, action, _as_json(before), _as_json(after))


def _as_json(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())


def add(
    action: Action,
    payment_id: UUID | None,
    caller: Caller,
    at: datetime,
    *,
    before: Any = None,
    after: Any = None,
    changes: Sequence[Change] = (),
) -> int:
    """Add an entry and post its changes of money; return the number of the open closing, which they belong to.

    Call it in the write transaction of the change that it records. `before` and `after` are the payment, the link, the
    refund or the cash movement as the API shows it, None where it does not exist.
    """
    entry = _insert.first_tuple(
        payment_id=payment_id,
        at=at,
        user_id=caller.user_id,
        request_id=caller.request_id,
        action=action.value,
        before=before and encode(before).decode(),
        after=after and encode(after).decode(),
    )
    if entry is None:
        raise peewee.OperationalError("the database drops history entries: look for triggers and rules of others")
    history_id, closing = entry
    if changes:
        postings.add(changes, history_id, caller.user_id, closing, business_days.find_date(at))
    return int(closing)


@prepared
def _insert() -> ModelInsert:
    columns = [field for field in History._meta.sorted_fields if field.name not in ("id", "closing")]
    values = {field: placeholder(field) for field in columns} | {History.closing: postings.select_open_number()}
    return History.insert(values).returning(History.id, History.closing)


def exists(payment_id: UUID | None) -> bool:
    """Tell whether a payment has a history."""
    # None would find the entries that belong to no payment.
    return payment_id is not None and bool(History.select().where(History.payment_id == payment_id).exists())


def iterate_pages(size: int, payment_id: UUID | None, after: int = 0) -> Iterator[Page[HistoryEntry]]:
    """Yield the entries of a payment, oldest first, in pages of `size`; nothing if there are none.

    `after` is the id of the last entry to leave out.
    """
    columns = [History.at, History.user_id, History.request_id, History.action, History.before, History.after]
    query = History.select(History.id, *columns).where(History.payment_id == payment_id)
    for rows, next_after in iterate_rows(query, History.id, size, after):
        yield Page([HistoryEntry.from_row(row[1:]) for row in rows], next_after)
