"""Which payments paid which tickets."""
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from ..database import write
from ..errors import Conflict, Invalid, NotFound
from ..models import Payment, TicketPayment
from . import history, payments


@write(
    unique=lambda: Conflict("This payment is linked to this ticket already."),
    foreign_key=lambda: Invalid(payment_id=payments.NO_PAYMENT),
)
def link(payment_id: UUID, ticket_id: str, *, caller: history.Caller) -> None:
    """Record that a payment paid a ticket.

    Raises `Invalid` for a payment that does not exist, and `Conflict` for a link that does.
    """
    payments.lock(payment_id)
    now = datetime.now(timezone.utc)
    TicketPayment.insert(payment=payment_id, ticket_id=ticket_id, linked_at=now).execute()
    history.add("linked", payment_id, caller, now, after=_values(payment_id, ticket_id))


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
def unlink(payment_id: UUID, ticket_id: str, *, caller: history.Caller) -> None:
    """Remove a link; raises `NotFound` if there is none."""
    if not _removed(payment_id, ticket_id, caller):
        raise NotFound("This payment is not linked to this ticket.")


@write()
def unlink_all(ticket_id: str, *, caller: history.Caller) -> None:
    """Remove every link of a ticket, none if it has none."""
    links = TicketPayment.select(TicketPayment.payment).where(TicketPayment.ticket_id == ticket_id)
    # In one order, so that two that do this at once do not wait for each other.
    for (payment_id,) in links.order_by(TicketPayment.payment).tuples():
        _removed(payment_id, ticket_id, caller)


def _removed(payment_id: UUID, ticket_id: str, caller: history.Caller) -> bool:
    """Remove a link and tell whether there was one."""
    payments.lock(payment_id)
    link_ = (TicketPayment.payment == payment_id) & (TicketPayment.ticket_id == ticket_id)
    if not TicketPayment.delete().where(link_).execute():
        return False
    before = _values(payment_id, ticket_id)
    history.add("unlinked", payment_id, caller, datetime.now(timezone.utc), before=before)
    return True


def _values(payment_id: UUID, ticket_id: str) -> dict[str, Any]:
    return {"payment_id": payment_id, "ticket_id": ticket_id}
