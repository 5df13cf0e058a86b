"""The journal: the postings of a closing in order, with the names of what they are about."""
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
from peewee import JOIN

from ..codec import exact_number
from ..errors import NotFound
from ..models import Closing, ClosingLine, History, Posting, TicketPayment
from ..money import format_amount
from . import closings
from .archives import NO_CLOSING
from .pages import Page, iterate_rows
from .postings import Kind
from .totals import Key, Line, Names

COLUMNS = [
    Posting.id, Posting.business_date, Posting.user_id, Posting.method, Posting.currency, Posting.minor_units,
    Posting.tip_units, History.at, History.action, History.payment_id, History.before, History.after,
]


class JournalEntry(msgspec.Struct, frozen=True):
    """A posting as the API shows it. `payment_id` and what follows from it are a payment's, `reason` a movement's.

    `tip` is signed: what of a payment or a correction is a tip. It may change when `amount` is zero.
    """

    at: str
    business_date: str
    user_id: str | None
    action: str
    payment_id: str | None
    transaction_id: str | None
    tickets: list[str]
    method: str
    currency: str
    amount: msgspec.Raw
    tip: msgspec.Raw
    reason: str | None


class _Recorded(msgspec.Struct):
    """What the journal shows of a history entry's text."""

    transaction_id: str | None = None
    reason: str | None = None


_decoder = msgspec.json.Decoder(_Recorded)


def iterate_closed(size: int, number: int | None, after: int = 0) -> Iterator[Page[JournalEntry]]:
    """Return the postings of a closing in pages of `size`, in order; raises `NotFound`, also for None.

    `after` is the number of the last posting to leave out, which a cursor has.
    """
    if number is None or not Closing.select().where(Closing.number == number).exists():
        raise NotFound(NO_CLOSING)
    return _iterate(size, number, after)


def iterate_open(size: int, after: int = 0) -> Iterator[Page[JournalEntry]]:
    """Return the postings of the open closing so far, as `iterate_closed` does."""
    return _iterate(size, closings.find_open_number(), after)


def _iterate(size: int, number: int, after: int) -> Iterator[Page[JournalEntry]]:
    # LEFT: a posting whose history entry is missing is a fault, and must not be left out silently.
    joined = (History.id == Posting.history_id)
    query = Posting.select(*COLUMNS).join(History, JOIN.LEFT_OUTER, on=joined)
    query = query.where((Posting.closing == number) & (Posting.kind != Kind.CARRIED.value))
    for rows, next_after in iterate_rows(query, Posting.id, size, after):
        yield Page(_show(number, rows), next_after)


def _show(number: int, rows: list[tuple[Any, ...]]) -> list[JournalEntry]:
    names, lines = Names(), _read_names(number)
    tickets = _read_tickets({row[9] for row in rows if row[9]})
    return [_make_entry(row, names, lines, tickets) for row in rows]


def _make_entry(
    row: tuple[Any, ...], names: Names, lines: dict[Key, Line], tickets: dict[UUID, list[str]]
) -> JournalEntry:
    _, business_date, user_id, method_id, currency_id, *amounts, at, action, payment_id, before, after = row
    key = Key(method_id, currency_id)
    line = lines.get(key) or lines.setdefault(key, names.make_line(key))
    amount, tip = (exact_number(format_amount(units, line.decimals)) for units in amounts)
    recorded = _decoder.decode(after or before or "{}")
    return JournalEntry(
        at=at.isoformat(),
        business_date=business_date.isoformat(),
        user_id=user_id,
        action=action,
        payment_id=payment_id and str(payment_id),
        transaction_id=recorded.transaction_id,
        tickets=tickets.get(payment_id, []),
        method=line.method_name,
        currency=line.currency_acronym,
        amount=amount,
        tip=tip,
        reason=recorded.reason,
    )


def _read_names(number: int) -> dict[Key, Line]:
    """Return a line for each method and currency of a closing, with the names that they had. No money is in them."""
    columns = [
        ClosingLine.method, ClosingLine.currency, ClosingLine.method_name, ClosingLine.cash,
        ClosingLine.currency_acronym, ClosingLine.decimals,
    ]
    lines = (Line(*row) for row in ClosingLine.select(*columns).where(ClosingLine.closing == number).tuples())
    return {Key(line.method_id, line.currency_id): line for line in lines}


def _read_tickets(payment_ids: set[UUID]) -> dict[UUID, list[str]]:
    """Return the tickets that are linked to payments now, in the order of linking."""
    columns = TicketPayment.payment, TicketPayment.ticket_id
    links = TicketPayment.select(*columns).where(TicketPayment.payment.in_(list(payment_ids)))
    tickets: dict[UUID, list[str]] = {}
    for payment_id, ticket_id in links.order_by(TicketPayment.linked_at, TicketPayment.ticket_id).tuples():
        tickets.setdefault(payment_id, []).append(ticket_id)
    return tickets
