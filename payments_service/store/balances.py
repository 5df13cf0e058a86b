"""Balances: what was paid for a ticket, what of it was refunded, and what is left to pay."""
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from peewee import ColumnBase, Expression, fn

from ..codec import exact_number
from ..errors import Invalid
from ..models import Currency, Payment, Refund, TicketPayment
from ..money import InvalidAmount, format_amount, to_minor_units
from . import currencies


@dataclass
class Balance:
    """What was paid for a ticket in a currency, in minor units.

    `unclear` is what payments of several tickets have paid or given back without saying for which one.
    """

    paid: int = 0
    refunded: int = 0
    unclear: int = 0


class _Link(NamedTuple):
    """A link to a ticket: the amounts of its payment, and what of its refunds names this ticket or another one."""

    currency_id: UUID
    minor_units: int
    tip: int
    refunded: int
    allocated: int
    share: int | None
    links: int
    refunded_here: int
    refunded_elsewhere: int

    def add_to(self, balance: Balance) -> None:
        """Add what the payment has paid for the ticket."""
        alone = self.links == 1
        unallocated = self.minor_units - self.tip - self.allocated
        if self.share is not None:
            paid, unclear = self.share, 0
        elif alone:
            paid, unclear = unallocated, 0
        else:
            paid, unclear = 0, unallocated
        unnamed = self.refunded - self.refunded_here - self.refunded_elsewhere
        refunded = self.refunded_here
        if alone and (self.share is None or not unallocated):
            # The tip may be refunded too. It did not pay for the ticket.
            refunded += min(unnamed, max(paid - refunded, 0))
        else:
            unclear = max(unclear, unnamed)
        balance.paid += paid
        balance.refunded += refunded
        balance.unclear += unclear


def sum_up(ticket_id: str, currency_id: UUID | None = None) -> dict[UUID, Balance]:
    """Return the balances of a ticket by currency, or that of one currency; nothing for a ticket without links.

    A link without an amount counts wholly, less the tip, if it is its payment's only one. A refund without a ticket
    counts for the payment's only ticket.
    """
    balances: dict[UUID, Balance] = {}
    for link in _read_links(ticket_id, currency_id):
        link.add_to(balances.setdefault(link.currency_id, Balance()))
    return balances


def _read_links(ticket_id: str, currency_id: UUID | None) -> Iterator[_Link]:
    links = TicketPayment.alias()
    count = links.select(fn.COUNT(links.ticket_id)).where(links.payment == Payment.id)
    is_linked = fn.EXISTS(links.select().where((links.payment == Payment.id) & (links.ticket_id == Refund.ticket_id)))
    columns = [
        Payment.currency, Payment.minor_units, Payment.tip_units, Payment.refunded_units, Payment.allocated_units,
        TicketPayment.share_units, count, _sum_refunds(Refund.ticket_id == ticket_id),
        _sum_refunds(Refund.ticket_id != ticket_id, is_linked),
    ]
    query = TicketPayment.select(*columns).join(Payment).where(TicketPayment.ticket_id == ticket_id)
    if currency_id is not None:
        query = query.where(Payment.currency == currency_id)
    for row in query.tuples():
        link = _Link(*row)
        # PostgreSQL returns sums as decimals.
        here, elsewhere = int(link.refunded_here), int(link.refunded_elsewhere)
        yield link._replace(refunded_here=here, refunded_elsewhere=elsewhere)


def _sum_refunds(*conditions: Expression | ColumnBase) -> Any:
    """Select what the refunds of a payment that meet conditions add up to; it is never more than the payment."""
    total = fn.COALESCE(fn.SUM(Refund.minor_units), 0)
    return Refund.select(total).where(Refund.payment == Payment.id, *conditions)


def read(ticket_id: str, currency_id: UUID | None = None, total: Decimal | None = None) -> list[dict[str, Any]]:
    """Return the balances of a ticket as the API shows them, in the order of currencies; nothing if nothing was paid.

    With `total`, which needs a currency, there is always one balance, with what remains to pay of that total. Raises
    `Invalid` for an unknown currency, and for a total that the currency cannot hold.
    """
    if currency_id is None:
        if total is not None:
            raise Invalid(currency_id="Needed with total.")
        names = {currency["id"]: currency for currency in Currency.select().dicts()}
    else:
        found = currencies.by_id.first_dict(id=currency_id)
        if found is None:
            raise Invalid(currency_id=currencies.NO_CURRENCY)
        names = {currency_id: found}
    balances = sum_up(ticket_id, currency_id)
    if total is not None and currency_id is not None:
        balances.setdefault(currency_id, Balance())
    return [_show(names[key], balance, total) for key, balance in sorted(balances.items(), key=lambda item: item[0])]


def _show(currency: dict[str, Any], balance: Balance, total: Decimal | None) -> dict[str, Any]:
    amounts = {"paid": balance.paid, "refunded": balance.refunded, "unclear": balance.unclear}
    if total is not None:
        try:
            minor_units = to_minor_units(total, currency["acronym"], currency["decimals"])
        except InvalidAmount as error:
            raise Invalid(total=str(error)) from None
        amounts["remaining"] = minor_units - balance.paid + balance.refunded
    return {"currency_id": currency["id"], "currency": currency["acronym"]} | {
        name: exact_number(format_amount(amount, currency["decimals"])) for name, amount in amounts.items()
    }
