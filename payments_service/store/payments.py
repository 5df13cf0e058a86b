"""Payments."""
from decimal import Decimal
from typing import Any
from uuid import UUID

from peewee import ModelSelect
from uuid_utils.compat import uuid7

from ..database import write
from ..errors import Conflict, Invalid, NotFound
from ..models import Currency, Method, Payment
from ..money import AmountRefused, from_minor_units, to_minor_units
from . import currencies, methods

NO_PAYMENT = "There is no payment with this id."
TRANSACTION_ID_TAKEN = "Another payment has this transaction_id: send one that is not used yet."
LINKED = "A ticket is linked to this payment: unlink it first."


def select(*columns: Any) -> ModelSelect:
    """Return a query of payments, oldest first, with the columns `payment_of` needs and any others named."""
    return (
        Payment.select(
            Payment.id,
            Payment.method.alias("method_id"),
            Payment.currency.alias("currency_id"),
            Payment.transaction_id,
            Payment.minor_units,
            Currency.decimals,
            *columns,
        )
        .join(Currency)
        .order_by(Payment.id)
        .dicts()
    )


def payment_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the payment in a row of `select`, its amount an exact Decimal."""
    amount = from_minor_units(row.pop("minor_units"), row.pop("decimals"))
    return row | {"amount": amount}


def list_all() -> list[dict[str, Any]]:
    """Return every payment, oldest first."""
    return [payment_of(row) for row in select()]


def get(payment_id: UUID | None) -> dict[str, Any]:
    """Return a payment; raises `NotFound`, also for None."""
    row = select().where(Payment.id == payment_id).first()
    if row is None:
        raise NotFound(NO_PAYMENT)
    return payment_of(row)


@write(unique=lambda: Conflict(TRANSACTION_ID_TAKEN))
def add(*, method_id: UUID, currency_id: UUID, transaction_id: str, amount: Decimal) -> UUID:
    """Record a payment and return its id, which is its transaction_id too if that is blank.

    Raises `Invalid` for a method or currency that does not exist and for an amount that the currency cannot hold, and
    `Conflict` for a transaction_id in use.
    """
    columns = _columns(method_id, currency_id, amount)
    # Made within the write: where one process alone writes to SQLite, the order of ids is the order of commits.
    payment_id = uuid7()
    columns["transaction_id"] = transaction_id if transaction_id.strip() else str(payment_id)
    Payment.insert(id=payment_id, **columns).execute()
    return payment_id


@write(unique=lambda: Conflict(TRANSACTION_ID_TAKEN))
def update(
    payment_id: UUID | None,
    *,
    method_id: UUID,
    currency_id: UUID,
    transaction_id: str,
    amount: Decimal,
    sent_id: UUID | None = None,
) -> None:
    """Change a payment; a blank transaction_id keeps the stored one.

    Raises `NotFound`, `Invalid` for a `sent_id` that is another payment's, and what `add` raises.
    """
    if not Payment.select().where(Payment.id == payment_id).exists():
        raise NotFound(NO_PAYMENT)
    if sent_id not in (None, payment_id):
        raise Invalid(id="This is not the id in the path.")
    columns = _columns(method_id, currency_id, amount)
    if transaction_id.strip():
        columns["transaction_id"] = transaction_id
    if not Payment.update(**columns).where(Payment.id == payment_id).execute():
        # PostgreSQL lets another write delete it in between.
        raise NotFound(NO_PAYMENT)


@write(foreign_key=lambda: Conflict(LINKED))
def delete(payment_id: UUID | None) -> None:
    """Delete a payment. Raises `NotFound`, and `Conflict` while a ticket is linked to it."""
    if not Payment.delete().where(Payment.id == payment_id).execute():
        raise NotFound(NO_PAYMENT)


def _columns(method_id: UUID, currency_id: UUID, amount: Decimal) -> dict[str, Any]:
    """Return the columns that hold these values; raises `Invalid`, naming every one that is refused."""
    refused = {}
    if not Method.select().where(Method.id == method_id).exists():
        refused["method_id"] = methods.NO_METHOD
    currency = Currency.get_or_none(Currency.id == currency_id)
    minor_units = None
    if currency is None:
        refused["currency_id"] = currencies.NO_CURRENCY
    else:
        try:
            minor_units = to_minor_units(amount, currency.acronym, currency.decimals)
        except AmountRefused as error:
            refused["amount"] = str(error)
    if refused:
        raise Invalid(**refused)
    return {"method": method_id, "currency": currency_id, "minor_units": minor_units}
