"""Links between payments and tickets."""
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from ..database import write
from ..errors import Conflict, Invalid, NotFound
from ..models import Currency, Payment, TicketPayment
from . import history, payments
from .history import Action, Caller
from .payments import COLUMNS, NO_PAYMENT, RecordedPayment, format_uuid


class PaymentOfTicket(RecordedPayment, frozen=True):
    """A payment in the list of a ticket's payments."""

    payment_id: str
    ticket_id: str


@write({"ticket_payment_pkey": lambda: Conflict("This payment is linked to this ticket already.")})
def link(payment_id: UUID, ticket_id: str, *, caller: Caller) -> None:
    """Link a payment to a ticket; raises `Invalid` for an unknown payment, and `Conflict` for a link that exists."""
    if not payments.lock(payment_id):
        raise Invalid(payment_id=NO_PAYMENT)
    now = datetime.now(timezone.utc)
    TicketPayment.insert(payment=payment_id, ticket_id=ticket_id, linked_at=now).execute()
    history.add(Action.LINKED, payment_id, caller, now, after=_make_values(payment_id, ticket_id))


def list_payments(ticket_id: str) -> list[PaymentOfTicket]:
    """Return the payments that are linked to a ticket, oldest first."""
    query = TicketPayment.select(*COLUMNS.values()).join(Payment).join(Currency)
    query = query.where(TicketPayment.ticket_id == ticket_id).order_by(TicketPayment.payment)
    return [
        PaymentOfTicket.from_row(row, payment_id=format_uuid(row[0]), ticket_id=ticket_id) for row in query.tuples()
    ]


def list_tickets(payment_id: UUID | None) -> list[dict[str, Any]]:
    """Return `{payment_id, ticket_id}` for each ticket of a payment, in the order of linking; raises `NotFound`."""
    payments.get(payment_id)
    links = TicketPayment.select(TicketPayment.payment.alias("payment_id"), TicketPayment.ticket_id)
    links = links.where(TicketPayment.payment == payment_id)
    return list(links.order_by(TicketPayment.linked_at, TicketPayment.ticket_id).dicts())


@write()
def unlink(payment_id: UUID, ticket_id: str, *, caller: Caller) -> None:
    """Delete a link; raises `NotFound` if there is none."""
    if not _unlink(payment_id, ticket_id, caller):
        raise NotFound("This payment is not linked to this ticket.")


@write()
def unlink_all(ticket_id: str, *, caller: Caller) -> None:
    """Delete every link of a ticket, if it has any."""
    links = TicketPayment.select(TicketPayment.payment).where(TicketPayment.ticket_id == ticket_id)
    # Always in the same order, so that two calls at once do not deadlock.
    for (payment_id,) in links.order_by(TicketPayment.payment).tuples():
        _unlink(payment_id, ticket_id, caller)


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
    """Return a link as the API shows it, for the history."""
    return {"payment_id": payment_id, "ticket_id": ticket_id}
