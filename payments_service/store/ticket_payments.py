"""Links between payments and tickets."""
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
from peewee import Expression

from ..database import current, write
from ..errors import Conflict, Invalid, NotFound
from ..models import Payment, TicketPayment
from ..text import INVISIBLE_END, has_invisible_end
from . import history, listing, payments
from .history import Action, Caller
from .listing import PaymentFilter
from .pages import Page
from .payments import NO_PAYMENT, RecordedPayment

# Links that one write deletes.
UNLINK_BATCH = 500

# When a ticket was linked, and its id: where it is in the list of a payment's tickets.
Position = tuple[datetime, str]


class PaymentOfTicket(RecordedPayment, frozen=True):
    """A payment in the list of a ticket's payments."""

    payment_id: str
    ticket_id: str


class TicketOfPayment(msgspec.Struct, frozen=True):
    """A ticket in the list of a payment's tickets."""

    payment_id: str
    ticket_id: str


@write({"ticket_payment_pkey": lambda: Conflict("This payment is linked to this ticket already.")})
def link(payment_id: UUID, ticket_id: str, *, caller: Caller) -> None:
    """Link a payment to a ticket.

    Raises `Invalid` for an unknown payment and for a ticket_id with a blank or an invisible character at either end,
    and `Conflict` for a link that exists.
    """
    invalid = {"ticket_id": INVISIBLE_END} if has_invisible_end(ticket_id) else {}
    if not payments.lock(payment_id):
        invalid["payment_id"] = NO_PAYMENT
    if invalid:
        raise Invalid(**invalid)
    now = datetime.now(timezone.utc)
    linked_at = _make_later(payment_id, now)
    TicketPayment.insert(payment=payment_id, ticket_id=ticket_id, linked_at=linked_at).execute()
    history.add(Action.LINKED, payment_id, caller, now, after=_make_values(payment_id, ticket_id))


def _make_later(payment_id: UUID, now: datetime) -> datetime:
    """Return `now`, or else the next moment after a payment's latest link: the clock may have been set back since."""
    links = TicketPayment.select(TicketPayment.linked_at).where(TicketPayment.payment == payment_id)
    latest = links.order_by(TicketPayment.linked_at.desc()).limit(1).scalar()
    return now if latest is None else max(now, latest + timedelta.resolution)


def iterate_payments(size: int, ticket_id: str, after: UUID | None = None) -> Iterator[Page[PaymentOfTicket]]:
    """Yield the payments that are linked to a ticket, as `listing.iterate_pages` does."""
    for page in listing.iterate_pages(size, PaymentFilter(ticket_id=ticket_id), after):
        payments_of_ticket = [
            PaymentOfTicket(**msgspec.structs.asdict(payment), payment_id=payment.id, ticket_id=ticket_id)
            for payment in page.items
        ]
        yield Page(payments_of_ticket, page.next_after)


def iterate_tickets(
    size: int, payment_id: UUID | None, after: Position | None = None
) -> Iterator[Page[TicketOfPayment]]:
    """Return the tickets of a payment in pages of `size`, in the order of linking; raises `NotFound`.

    `after` is the position of the last ticket to leave out, which need not be linked any more. A cursor is its text:
    the time, a tilde and the ticket.
    """
    payments.get(payment_id)
    return _iterate_tickets(size, payment_id, after)


def _iterate_tickets(size: int, payment_id: UUID | None, after: Position | None) -> Iterator[Page[TicketOfPayment]]:
    columns = TicketPayment.linked_at, TicketPayment.ticket_id
    query = TicketPayment.select(*columns).order_by(*columns).limit(size + 1)
    has_more = True
    while has_more:
        further = [_is_after(*after)] if after else []
        rows = list(query.where(TicketPayment.payment == payment_id, *further).tuples())
        has_more = len(rows) > size
        rows = rows[:size]
        if rows:
            after = linked_at, last_ticket = rows[-1]
            tickets = [TicketOfPayment(str(payment_id), ticket_id) for _, ticket_id in rows]
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
    deleted = TicketPayment.delete().where(these_links).returning(TicketPayment.payment).tuples().execute()
    now = datetime.now(timezone.utc)
    for payment_id in sorted(payment_id for (payment_id,) in deleted):
        history.add(Action.UNLINKED, payment_id, caller, now, before=_make_values(payment_id, ticket_id))
    return len(found) == UNLINK_BATCH


def _unlink(payment_id: UUID, ticket_id: str, caller: Caller) -> bool:
    """Delete a link and tell whether there was one."""
    payments.lock(payment_id)
    this_link = (TicketPayment.payment == payment_id) & (TicketPayment.ticket_id == ticket_id)
    if not TicketPayment.delete().where(this_link).execute():
        return False
    now = datetime.now(timezone.utc)
    history.add(Action.UNLINKED, payment_id, caller, now, before=_make_values(payment_id, ticket_id))
    return True


def _make_values(payment_id: UUID, ticket_id: str) -> dict[str, Any]:
    return {"payment_id": payment_id, "ticket_id": ticket_id}
