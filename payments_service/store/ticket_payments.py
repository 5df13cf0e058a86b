"""Links between payments and tickets."""
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from peewee import Expression, ModelInsert, ModelSelect, ModelUpdate

from ..codec import exact_number
from ..database import current, placeholder, prepared, write
from ..errors import Conflict, Invalid, NotFound
from ..models import Payment, TicketPayment
from ..money import InvalidAmount, format_amount, to_minor_units
from ..text import INVISIBLE_END, has_invisible_end
from . import balances, history, listing, payments
from .history import Action, Caller
from .listing import ListedPayment, PaymentFilter, Row
from .pages import Page
from .payments import NO_PAYMENT, StoredPayment, format_repeated_uuid, show_unless_zero

# Links that one write deletes.
UNLINK_BATCH = 500
AMOUNT_NEEDED = "Needed with ticket_total, because this payment has several tickets."

# When a ticket was linked, and its id: where it is in the list of a payment's tickets.
Position = tuple[datetime, str]


class PaymentOfTicket(ListedPayment, frozen=True, gc=False, kw_only=True):
    """A payment in the list of a ticket's payments; `share` is what of it goes to the ticket, if somebody said so."""

    payment_id: UUID
    ticket_id: str
    share: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class TicketOfPayment(msgspec.Struct, frozen=True):
    """A ticket in the list of a payment's tickets; `share` is what goes to it, if somebody said so."""

    payment_id: str
    ticket_id: str
    share: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class TicketShare(NamedTuple):
    """A ticket that a new payment pays, how much of the payment goes to it, and what the ticket costs in all."""

    ticket_id: str
    amount: Decimal | None = None
    ticket_total: Decimal | None = None


@write()
def pay(tickets: Collection[TicketShare], *, caller: Caller, **payment: Any) -> UUID:
    """Record a payment and link it to tickets, all or nothing; return the payment's id.

    Raises what `payments.add` and `link` raise; `Invalid` names a ticket by its place in the list.
    """
    if len({ticket.ticket_id for ticket in tickets}) < len(tickets):
        raise Invalid(tickets="A ticket is in the list twice.")
    if len(tickets) > 1 and any(ticket.amount is None and ticket.ticket_total is not None for ticket in tickets):
        raise Invalid(tickets=f"amount: {AMOUNT_NEEDED}")
    # Always in the same order, so that two at once do not deadlock.
    for ticket_id in sorted(ticket.ticket_id for ticket in tickets if ticket.ticket_total is not None):
        current.lock_text(ticket_id)
    payment_id = payments.add(**payment, caller=caller)
    for place, ticket in enumerate(tickets, 1):
        try:
            link(payment_id, **ticket._asdict(), caller=caller)
        except Invalid as error:
            raise Invalid(tickets=f"Ticket {place}: {error}") from None
    return payment_id


@write({"ticket_payment_pkey": lambda: Conflict("This payment is linked to this ticket already.")})
def link(
    payment_id: UUID,
    ticket_id: str,
    *,
    amount: Decimal | None = None,
    ticket_total: Decimal | None = None,
    caller: Caller,
) -> None:
    """Link a payment to a ticket. `amount` is how much of the payment goes to it.

    Raises `Invalid` for an unknown payment, for a ticket_id with a blank or an invisible character at either end, and
    for an amount that the payment's currency cannot hold. Raises `Conflict` for a link that exists, for an amount that
    the payment does not have left, and for one that would pay the ticket more than its `ticket_total`.
    """
    invalid = {"ticket_id": INVISIBLE_END} if has_invisible_end(ticket_id) else {}
    if not payments.lock(payment_id):
        invalid["payment_id"] = NO_PAYMENT
    if invalid:
        raise Invalid(**invalid)
    share = shown_share = None
    payment = payments.read(payment_id) if amount is not None or ticket_total is not None else None
    if payment and amount is not None:
        share = _convert("amount", amount, payment)
        shown_share = _show_share(share, payment.decimals)
        _allocate(payment, share)
    now = datetime.now(timezone.utc)
    linked_at = _make_later(payment_id, now)
    _insert.insert(payment_id=payment_id, ticket_id=ticket_id, linked_at=linked_at, share_units=share)
    if payment and ticket_total is not None:
        _reject_overpayment(payment, ticket_id, share, _convert("ticket_total", ticket_total, payment))
    history.add(Action.LINKED, payment_id, caller, now, after=_make_values(payment_id, ticket_id, shown_share))


@prepared
def _insert() -> ModelInsert:
    return TicketPayment.insert({field: placeholder(field) for field in TicketPayment._meta.sorted_fields})


def _convert(name: str, amount: Decimal, payment: StoredPayment) -> int:
    """Return an amount of the field `name` in minor units; raises `Invalid`."""
    try:
        return to_minor_units(amount, payment.acronym, payment.decimals)
    except InvalidAmount as error:
        raise Invalid(**{name: str(error)}) from None


def _allocate(payment: StoredPayment, share: int) -> None:
    """Add a share to what of a payment goes to tickets; raises `Conflict` for more than the payment has left."""
    left = payment.minor_units - payment.tip - payment.allocated
    if share > left:
        paid, allocated, tip, most = (
            format_amount(number, payment.decimals)
            for number in (payment.minor_units, payment.allocated, payment.tip, left)
        )
        raise Conflict(f"{paid} was paid, {allocated} goes to tickets and {tip} is the tip: at most {most}.")
    _change_allocated(payment.id, share)


def _change_allocated(payment_id: UUID, difference: int) -> None:
    _add_to_allocated.execute(id=payment_id, allocated_units=difference)


@prepared
def _add_to_allocated() -> ModelUpdate:
    allocated = Payment.allocated_units + placeholder(Payment.allocated_units)
    return Payment.update(allocated_units=allocated).where(Payment.id == placeholder(Payment.id))


def _reject_overpayment(payment: StoredPayment, ticket_id: str, share: int | None, total: int) -> None:
    """Raise `Conflict` if a ticket, with a link that was just made, is paid more than its total.

    Of two links at once, the second one waits here, and then sees the first.
    """
    current.lock_text(ticket_id)
    if share is None and TicketPayment.select().where(TicketPayment.payment == payment.id).count() > 1:
        raise Invalid(amount=AMOUNT_NEEDED)
    balance = balances.sum_up(ticket_id, payment.currency_id)[payment.currency_id]
    added = payment.minor_units - payment.tip if share is None else share
    left = total - balance.paid + balance.refunded + added
    if added > max(left, 0):
        raise Conflict(f"This ticket has {format_amount(max(left, 0), payment.decimals)} left to pay.")


def _show_share(share: int, decimals: int) -> msgspec.Raw:
    return exact_number(format_amount(share, decimals))


def _make_later(payment_id: UUID, now: datetime) -> datetime:
    """Return `now`, or else the next moment after a payment's latest link: the clock may have been set back since."""
    latest = _latest_link.first_dict(payment_id=payment_id)
    return now if latest is None else max(now, latest["linked_at"] + timedelta.resolution)


@prepared
def _latest_link() -> ModelSelect:
    links = TicketPayment.select(TicketPayment.linked_at)
    links = links.where(TicketPayment.payment == placeholder(TicketPayment.payment))
    return links.order_by(TicketPayment.linked_at.desc()).limit(1)


def iterate_payments(size: int, ticket_id: str, after: UUID | None = None) -> Iterator[Page[PaymentOfTicket]]:
    """Yield the payments that are linked to a ticket, as `listing.iterate_pages` does."""
    for rows, has_more in listing.iterate_rows(size, PaymentFilter(ticket_id=ticket_id), after):
        payments_of_ticket = [_make_payment_of_ticket(ticket_id, row) for row in rows]
        yield Page(payments_of_ticket, str(payments_of_ticket[-1].id) if has_more else None)


def _make_payment_of_ticket(ticket_id: str, row: Row) -> PaymentOfTicket:
    payment_id, method_id, currency_id, transaction_id, minor_units, decimals, tip_units, share = row
    return PaymentOfTicket(
        payment_id,
        format_repeated_uuid(method_id),
        format_repeated_uuid(currency_id),
        transaction_id,
        exact_number(format_amount(minor_units, decimals)),
        show_unless_zero(tip_units, decimals),
        payment_id=payment_id,
        ticket_id=ticket_id,
        share=msgspec.UNSET if share is None else _show_share(share, decimals),
    )


def iterate_tickets(
    size: int, payment_id: UUID | None, after: Position | None = None
) -> Iterator[Page[TicketOfPayment]]:
    """Return the tickets of a payment in pages of `size`, in the order of linking; raises `NotFound`.

    `after` is the position of the last ticket to leave out, which need not be linked any more. A cursor is its text:
    the time, a tilde and the ticket.
    """
    return _iterate_tickets(size, payments.read(payment_id), after)


def _iterate_tickets(size: int, payment: StoredPayment, after: Position | None) -> Iterator[Page[TicketOfPayment]]:
    order = TicketPayment.linked_at, TicketPayment.ticket_id
    query = TicketPayment.select(*order, TicketPayment.share_units).order_by(*order).limit(size + 1)
    has_more = True
    while has_more:
        further = [_is_after(*after)] if after else []
        rows = list(query.where(TicketPayment.payment == payment.id, *further).tuples())
        has_more = len(rows) > size
        rows = rows[:size]
        if rows:
            after = linked_at, last_ticket = rows[-1][:2]
            tickets = [
                TicketOfPayment(payment.shown.id, ticket_id)
                if share is None
                else TicketOfPayment(payment.shown.id, ticket_id, _show_share(share, payment.decimals))
                for _, ticket_id, share in rows
            ]
            yield Page(tickets, f"{linked_at:%Y-%m-%dT%H:%M:%S.%fZ}~{last_ticket}" if has_more else None)


def _is_after(linked_at: datetime, ticket_id: str) -> Expression:
    same_time = (TicketPayment.linked_at == linked_at) & (TicketPayment.ticket_id > ticket_id)
    return (TicketPayment.linked_at > linked_at) | same_time


@write()
def unlink(payment_id: UUID, ticket_id: str, *, caller: Caller) -> None:
    """Delete a link; raises `NotFound` if there is none."""
    if not _unlink(payment_id, ticket_id, caller):
        raise NotFound("This payment is not linked to this ticket.")


def unlink_all(ticket_id: str, *, caller: Caller) -> None:
    """Delete every link of a ticket, if it has any.

    Each `UNLINK_BATCH` links are a write of their own, so that other writes get in between: 60,000 links in one write
    kept SQLite locked for 8 s. After a failure, call it again.
    """
    while _unlink_batch(ticket_id, caller):
        pass


@write()
def _unlink_batch(ticket_id: str, caller: Caller) -> bool:
    """Delete some links of a ticket and tell whether there may be more."""
    links = TicketPayment.select(TicketPayment.payment).where(TicketPayment.ticket_id == ticket_id)
    # Always in the same order, so that two at once do not deadlock.
    found = [payment_id for (payment_id,) in links.order_by(TicketPayment.payment).limit(UNLINK_BATCH).tuples()]
    if not found:
        return False
    current.for_update(Payment.select(Payment.id).where(Payment.id.in_(found)).order_by(Payment.id)).execute()
    # Others may have deleted some since.
    these_links = (TicketPayment.ticket_id == ticket_id) & TicketPayment.payment.in_(found)
    returned = TicketPayment.payment, TicketPayment.share_units
    deleted = TicketPayment.delete().where(these_links).returning(*returned).tuples().execute()
    for payment_id, share in sorted(deleted, key=lambda row: row[0]):
        _record_unlinked(payment_id, ticket_id, share, caller)
    return len(found) == UNLINK_BATCH


def _unlink(payment_id: UUID, ticket_id: str, caller: Caller) -> bool:
    """Delete a link and tell whether there was one."""
    payments.lock(payment_id)
    this_link = (TicketPayment.payment == payment_id) & (TicketPayment.ticket_id == ticket_id)
    deleted = list(TicketPayment.delete().where(this_link).returning(TicketPayment.share_units).tuples().execute())
    for (share,) in deleted:
        _record_unlinked(payment_id, ticket_id, share, caller)
    return bool(deleted)


def _record_unlinked(payment_id: UUID, ticket_id: str, share: int | None, caller: Caller) -> None:
    """Take the share of a deleted link off what goes to tickets, and add the link to the history."""
    shown_share = None
    if share is not None:
        _change_allocated(payment_id, -share)
        shown_share = _show_share(share, payments.read(payment_id).decimals)
    before = _make_values(payment_id, ticket_id, shown_share)
    history.add(Action.UNLINKED, payment_id, caller, datetime.now(timezone.utc), before=before)


def _make_values(payment_id: UUID, ticket_id: str, share: msgspec.Raw | None) -> dict[str, Any]:
    return {"payment_id": payment_id, "ticket_id": ticket_id} | ({} if share is None else {"share": share})
