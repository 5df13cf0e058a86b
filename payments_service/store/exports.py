"""Exports: every payment with its tickets and refunds, as lines of text."""
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from peewee import JOIN, Case, ModelSelect

from ..database import current
from ..models import Currency, History, Method, Payment, Refund, TicketPayment
from ..money import format_amount
from .history import Action
from .imports import ImportedPayment
from .payments import format_repeated_uuid, format_uuid

to_time = Payment.created_at.python_value
_decode_imported = msgspec.json.Decoder(ImportedPayment).decode


class Line(NamedTuple):
    """A payment with one of its tickets, or a refund of a payment: `refund_of` is the payment's id. "" is for none.

    A payment has a line for each ticket, or one without. Times are in UTC; `share` is what goes to the ticket.
    """

    id: str
    time: str
    amount: str
    currency: str
    method: str
    tip: str = ""
    transaction_id: str = ""
    ticket: str = ""
    share: str = ""
    user: str = ""
    refund_of: str = ""
    reason: str = ""


def iterate_lines() -> Iterator[Line]:
    """Yield the lines of each payment, and then those of its refunds, in the order of ids. Few are in the memory.

    All is read as it is at the beginning; the service may go on meanwhile.
    """
    with current.snapshot():
        names = _read_names()
        refunds = _read_refunds(names)
        refund = next(refunds, None)
        last = ""
        for line in _read_payments(names):
            while refund and refund.refund_of == last != line.id:
                yield refund
                refund = next(refunds, None)
            last = line.id
            yield line
        while refund:
            yield refund
            refund = next(refunds, None)


def _read_names() -> dict[str, Any]:
    """Return the name of each method, and the acronym and decimals of each currency, by their ids."""
    methods = {str(method.id): method.name for method in Method.select()}
    return methods | {str(currency.id): (currency.acronym, currency.decimals) for currency in Currency.select()}


def _read_payments(names: dict[str, Any]) -> Iterator[Line]:
    # Who recorded it. An import has the other system's user in its text.
    made = (History.payment_id == Payment.id) & History.action.in_([Action.CREATED.value, Action.IMPORTED.value])
    imported = Case(None, [(History.action == Action.IMPORTED.value, History.after)])
    query = (
        Payment.select(
            Payment.id.cast("text"), Payment.created_at, Payment.minor_units, Payment.currency.cast("text"),
            Payment.method.cast("text"), Payment.tip_units, Payment.transaction_id, TicketPayment.ticket_id,
            TicketPayment.share_units, History.user_id, imported,
        )
        .join(TicketPayment, JOIN.LEFT_OUTER, on=(TicketPayment.payment == Payment.id))
        .join_from(Payment, History, JOIN.LEFT_OUTER, on=made)
        .order_by(Payment.id, TicketPayment.linked_at, TicketPayment.ticket_id)
    )
    for row in _stream(query):
        payment_id, created_at, minor_units, currency_id, method_id, tip, transaction_id, ticket, share, *made_by = row
        acronym, decimals = names[format_repeated_uuid(currency_id)]
        user_id, text = made_by
        if text is not None:
            known = _decode_imported(text).user_id
            user_id = None if known is msgspec.UNSET else known
        yield Line(
            format_uuid(payment_id),
            to_time(created_at).isoformat(),
            format_amount(minor_units, decimals),
            acronym,
            names[format_repeated_uuid(method_id)],
            format_amount(tip, decimals) if tip else "",
            transaction_id,
            ticket or "",
            "" if share is None else format_amount(share, decimals),
            user_id or "",
        )


def _read_refunds(names: dict[str, Any]) -> Iterator[Line]:
    query = (
        Refund.select(
            Refund.id.cast("text"), Refund.at, Refund.minor_units, Payment.currency.cast("text"),
            Refund.method.cast("text"), Refund.payment.cast("text"), Refund.transaction_id, Refund.ticket_id,
            Refund.user_id, Refund.reason,
        )
        .join(Payment)
        .order_by(Refund.payment, Refund.id)
    )
    for row in _stream(query):
        refund_id, at, minor_units, currency_id, method_id, payment_id, transaction_id, ticket, user_id, reason = row
        acronym, decimals = names[format_repeated_uuid(currency_id)]
        yield Line(
            format_uuid(refund_id),
            to_time(at).isoformat(),
            format_amount(minor_units, decimals),
            acronym,
            names[format_repeated_uuid(method_id)],
            transaction_id=transaction_id or "",
            ticket=ticket or "",
            user=user_id or "",
            refund_of=format_uuid(payment_id),
            reason=reason or "",
        )


def _stream(query: ModelSelect) -> Iterator[tuple[Any, ...]]:
    rows: Iterator[tuple[Any, ...]] = current.stream(query)
    return rows
