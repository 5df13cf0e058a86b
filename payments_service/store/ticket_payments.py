"""Which payments paid which tickets."""
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from ..database import write
from ..errors import Conflict, Invalid, NotFound
from ..models import Payment, TicketPayment
from . import payments


@write(
    unique=lambda: Conflict("This payment is linked to this ticket already."),
    foreign_key=lambda: Invalid(payment_id=payments.NO_PAYMENT),
)
def link(payment_id: UUID, ticket_id: str) -> None:
    """Record that a payment paid a ticket.

    Raises `Invalid` for a payment that does not exist, and `Conflict` for a link that does.
    """
    now = datetime.now(timezone.utc)
    TicketPayment.insert(payment=payment_id, ticket_id=ticket_id, linked_at=now).execute()


def payments_of(ticket_id: str) -> list[dict[str, Any]]:
    """Return the payments linked to a ticket, oldest first, each also with `payment_id` (its id) and `ticket_id`."""
    rows = payments.select(TicketPayment.ticket_id).join_from(Payment, TicketPayment)
    rows = rows.where(TicketPayment.ticket_id == ticket_id)
    return [payments.payment_of(row) | {"payment_id": row["id"]} for row in rows]


def tickets_of(payment_id: UUID | None) -> list[dict[str, Any]]:
    """Return `{payment_id, ticket_id}` of each ticket linked to a payment, in the order of linking.

    Raises `NotFound` if there is no such payment.
    """
    payments.get(payment_id)
    links = TicketPayment.select(TicketPayment.payment.alias("payment_id"), TicketPayment.ticket_id)
    links = links.where(TicketPayment.payment == payment_id)
    return list(links.order_by(TicketPayment.linked_at, TicketPayment.ticket_id).dicts())


@write()
def unlink(payment_id: UUID, ticket_id: str) -> None:
    """Remove a link; raises `NotFound` if there is none."""
    link_ = (TicketPayment.payment == payment_id) & (TicketPayment.ticket_id == ticket_id)
    if not TicketPayment.delete().where(link_).execute():
        raise NotFound("This payment is not linked to this ticket.")


@write()
def unlink_all(ticket_id: str) -> None:
    """Remove every link of a ticket, none if it has none."""
    TicketPayment.delete().where(TicketPayment.ticket_id == ticket_id).execute()
