"""Refunds of payments. They record money that is given back; no money moves."""
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from ..codec import exact_number
from ..database import write
from ..errors import Conflict, Invalid, NotFound
from ..models import Payment, Refund, TicketPayment
from ..money import InvalidAmount, format_amount, to_positive_minor_units
from ..text import INVISIBLE_END, has_invisible_end
from . import history, ids, methods, payments
from .history import Action, Caller
from .pages import Page, iterate_rows
from .payments import StoredPayment
from .postings import Change, Kind

NO_REFUND = "This payment has no refund with this id."
NOT_LINKED = "This payment is not linked to this ticket."


class RecordedRefund(msgspec.Struct, frozen=True):
    """A refund as the API shows it; `codec.encode` writes it as JSON. `amount` has exactly the currency's decimals."""

    id: UUID
    payment_id: UUID
    method_id: UUID
    currency_id: UUID
    amount: msgspec.Raw
    reason: str | None
    transaction_id: str | None
    ticket_id: str | None


class ListedRefund(RecordedRefund, frozen=True):
    """A refund in the list of a payment's refunds: also who made it, when, and the closing that it belongs to."""

    user_id: str | None
    at: str
    closing: int


# The columns from which a RecordedRefund is made, with its payment.
COLUMNS = [Refund.id, Refund.method, Refund.minor_units, Refund.reason, Refund.transaction_id, Refund.ticket_id]


def _list_values(payment: StoredPayment, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values of a RecordedRefund by a row of `COLUMNS`."""
    refund_id, method_id, minor_units, *texts = row
    amount = exact_number(format_amount(minor_units, payment.decimals))
    return refund_id, payment.id, method_id, payment.currency_id, amount, *texts


@write()
def add(
    payment_id: UUID | None,
    *,
    amount: Decimal,
    reason: str = "",
    method_id: UUID | None = None,
    transaction_id: str = "",
    ticket_id: str | None = None,
    caller: Caller,
) -> UUID:
    """Record a refund of a payment by its own method or another one, and return the refund's id.

    Raises `NotFound` for an unknown payment, and `Conflict` for more than was paid and is not refunded yet. Raises
    `Invalid` for an unknown method, a ticket that is not linked to the payment, an amount of zero or one that the
    currency cannot hold, and a text with a blank or an invisible character at either end.
    """
    payment = payments.lock_and_read(payment_id)
    method_id = method_id or payment.method_id
    texts = {"reason": reason or None, "transaction_id": transaction_id or None, "ticket_id": ticket_id}
    minor_units = _check_fields(payment, amount, method_id, texts)
    left = payment.minor_units - payment.refunded
    if minor_units > left:
        paid, refunded, most = (
            format_amount(number, payment.decimals) for number in (payment.minor_units, payment.refunded, left)
        )
        raise Conflict(f"{paid} was paid and {refunded} refunded: at most {most}.")
    refund_id, now = ids.make_refund_id(), datetime.now(timezone.utc)
    _change_payment(payment, minor_units, now)
    shown = RecordedRefund(*_list_values(payment, (refund_id, method_id, minor_units, *texts.values())))
    change = Change(Kind.REFUND, method_id, payment.currency_id, -minor_units)
    closing = history.add(Action.REFUNDED, payment.id, caller, now, after=shown, changes=[change])
    Refund.insert(
        id=refund_id,
        payment=payment.id,
        method=method_id,
        minor_units=minor_units,
        **texts,
        user_id=caller.user_id,
        at=now,
        closing=closing,
    ).execute()
    return refund_id


def _check_fields(payment: StoredPayment, amount: Decimal, method_id: UUID, texts: dict[str, str | None]) -> int:
    """Return an amount in minor units; raises `Invalid`, naming every invalid field."""
    invalid = {name: INVISIBLE_END for name, text in texts.items() if text and has_invisible_end(text)}
    if methods.by_id.first_tuple(id=method_id) is None:
        invalid["method_id"] = methods.NO_METHOD
    ticket_id = texts["ticket_id"]
    if ticket_id is not None:
        # A link that an earlier release recorded may have such an end.
        invalid.pop("ticket_id", None)
        link = (TicketPayment.payment == payment.id) & (TicketPayment.ticket_id == ticket_id)
        if not TicketPayment.select().where(link).exists():
            invalid["ticket_id"] = NOT_LINKED
    minor_units = 0
    try:
        minor_units = to_positive_minor_units(amount, payment.acronym, payment.decimals)
    except InvalidAmount as error:
        invalid["amount"] = str(error)
    if invalid:
        raise Invalid(**invalid)
    return minor_units


def _change_payment(payment: StoredPayment, minor_units: int, now: datetime) -> None:
    """Add to what is refunded of a payment. It is a change of the payment: its ETag names another version then."""
    Payment.update(
        refunded_units=payment.refunded + minor_units, version=payment.version + 1, changed_at=now
    ).where(Payment.id == payment.id).execute()


@write()
def delete(payment_id: UUID | None, refund_id: UUID | None, *, caller: Caller) -> None:
    """Delete a refund that is a mistake, and post a correction under its method; raises `NotFound`, also for None."""
    payment = payments.lock_and_read(payment_id)
    this_refund = (Refund.id == refund_id) & (Refund.payment == payment.id)
    row = Refund.select(*COLUMNS).where(this_refund).tuples().first() if refund_id is not None else None
    if row is None:
        raise NotFound(NO_REFUND)
    _, method_id, minor_units, *_ = row
    Refund.delete().where(this_refund).execute()
    now = datetime.now(timezone.utc)
    _change_payment(payment, -minor_units, now)
    shown = RecordedRefund(*_list_values(payment, row))
    change = Change(Kind.CORRECTION, method_id, payment.currency_id, minor_units)
    history.add(Action.REFUND_DELETED, payment.id, caller, now, before=shown, changes=[change])


def iterate_pages(size: int, payment_id: UUID | None, after: UUID | None = None) -> Iterator[Page[ListedRefund]]:
    """Return the refunds of a payment in pages of `size`, oldest first; raises `NotFound`, also for None.

    `after` is the last id to leave out; it need not exist.
    """
    return _iterate(size, payments.read(payment_id), after)


def _iterate(size: int, payment: StoredPayment, after: UUID | None) -> Iterator[Page[ListedRefund]]:
    columns = [*COLUMNS, Refund.user_id, Refund.at, Refund.closing]
    query = Refund.select(*columns).where(Refund.payment == payment.id)
    for rows, next_after in iterate_rows(query, Refund.id, size, after):
        refunds = [
            ListedRefund(*(*_list_values(payment, tuple(recorded)), user_id, at.isoformat(), closing))
            for *recorded, user_id, at, closing in rows
        ]
        yield Page(refunds, next_after)
