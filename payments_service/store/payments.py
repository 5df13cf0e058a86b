"""Payments."""
import functools
import operator
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import uuid_utils
from peewee import JOIN, Expression, ModelInsert, ModelSelect, Select, fn
from uuid_utils.compat import uuid7

from ..database import WriteAgain, current, given, prepared, write
from ..errors import Conflict, Invalid, NotFound, PreconditionFailed, TransactionIdTaken
from ..models import Currency, Payment, TicketPayment
from ..money import InvalidAmount, format_amount, from_minor_units, to_minor_units
from ..schemas import ListedPayment
from . import currencies, history, methods

NO_PAYMENT = "There is no payment with this id."
LINKED = "A ticket is linked to this payment: unlink it first."

# Through a span of time with more payments, all but the first page go without looking for its last id.
FEW = 20_000

# What a list has of each payment, as the database has it but with ids as text.
LISTED = {
    "id": Payment.id.cast("text"),
    "method_id": Payment.method.cast("text"),
    "currency_id": Payment.currency.cast("text"),
    "transaction_id": Payment.transaction_id,
    "minor_units": Payment.minor_units,
    "decimals": Currency.decimals,
}


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


class Page(NamedTuple):
    """Some payments of a list, at least one, and whether it has more."""

    payments: list[ListedPayment]
    more: bool


def pages(
    size: int,
    *,
    after: UUID | None = None,
    ticket_id: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    **ids: UUID | str,
) -> Iterator[Page]:
    """Yield the payments that fit all that is given, in the order of their ids, in pages of `size`; none if none fit.

    `ids` are a transaction_id, a method_id and a currency_id. Each page is read by itself when it is asked for, and
    nothing stays open in between. A payment that is there all the while is in one page, whatever is written meanwhile.
    """
    conditions = [getattr(Payment, name) == value for name, value in ids.items()]
    listed = [column.alias(name) for name, column in LISTED.items()]
    if ticket_id is None:
        query, positions = Payment.select(*listed), [Payment.id]
    else:
        # CROSS lets SQLite, which does not know how few payments a ticket has, begin with the links. Told the position
        # once, PostgreSQL would go through the payments from the first for each page of a large ticket.
        query, positions = TicketPayment.select(*listed).join(Payment, JOIN.CROSS), [TicketPayment.payment, Payment.id]
        conditions += [TicketPayment.ticket_id == ticket_id, TicketPayment.payment == Payment.id]
    beyond = [position > after for position in positions if after]
    bounds = [(operator.ge, created_from), (operator.lt, created_to)]
    if span := [holds(Payment.created_at, moment) for holds, moment in bounds if moment]:
        conditions += span
        if not ticket_id and "transaction_id" not in ids and (ends := _ends(span, FEW if after else None)):
            first, last = ends
            conditions.append(Payment.id <= last)
            beyond = beyond or [Payment.id >= first]
    # LEFT, because a payment without its currency is a fault, and not to be left out.
    query = query.join_from(Payment, Currency, JOIN.LEFT_OUTER).order_by(positions[0]).limit(size + 1)
    more = True
    while more:
        narrowed = [*conditions, *beyond]
        rows = sorted(current.rows(query.where(*narrowed) if narrowed else query, LISTED))
        more = len(rows) > size
        if rows:
            yield Page(_listed(rows[:size]), more)
            beyond = [position > rows[:size][-1][0] for position in positions]


def _ends(span: list[Expression], most: int | None) -> tuple[str | None, str | None] | None:
    """Return the first and the last id of a span of time, or None if it has over `most` payments.

    An index tells without the payments themselves. It is not the order of ids in which payments were recorded: some ids
    were made by hand.
    """
    # PostgreSQL before 18 knows no least UUID.
    found = Payment.select(Payment.id.cast("text").alias("id")).where(*span).alias("found")
    if most is not None:
        found = found.limit(most + 1)
    ends = Select([found], [fn.COUNT(found.c.id), fn.MIN(found.c.id), fn.MAX(found.c.id)])
    count, first, last = current.execute(ends).fetchone()
    return (first, last) if most is None or count <= most else None


def _listed(rows: list[tuple[Any, ...]]) -> list[ListedPayment]:
    spelled = functools.cache(_spelled)
    return [
        ListedPayment(
            _spelled(payment_id),
            spelled(method_id),
            spelled(currency_id),
            transaction_id,
            msgspec.Raw(format_amount(minor_units, decimals)),
        )
        for payment_id, method_id, currency_id, transaction_id, minor_units, decimals in rows
    ]


def _spelled(stored: str) -> str:
    """Return an id in its usual form; SQLite has it without hyphens. Python's own UUID takes several times as long."""
    return str(uuid_utils.UUID(stored))


def count() -> int:
    """Return how many payments there are."""
    return Payment.select().count()


def get(payment_id: UUID | None) -> tuple[dict[str, Any], int]:
    """Return a payment and its version, which rises by one with each change; raises `NotFound`, also for None."""
    row = _by_id.first(id=payment_id)
    if row is None:
        raise NotFound(NO_PAYMENT)
    version = row.pop("version")
    return payment_of(row), version


@prepared
def _by_id() -> ModelSelect:
    return select(Payment.version).where(Payment.id == given(Payment.id))


def lock(payment_id: UUID | None) -> None:
    """Let nobody else write to a payment or its links until the end of this write, so that its history has an order.

    What is to be read of it has to be read after that: it may have been changed while this waited.
    """
    current.for_update(Payment.select(Payment.id).where(Payment.id == payment_id)).execute()


def history_of(payment_id: UUID | None) -> list[dict[str, Any]]:
    """Return what happened to a payment, also to one that is deleted, as `history.of_payment` does.

    Raises `NotFound` for a payment that never was, and for None.
    """
    entries = history.of_payment(payment_id)
    if not entries:
        # It may be from before there was a history.
        get(payment_id)
    return entries


# On PostgreSQL another write may take the transaction_id after it was looked for.
@write(unique=WriteAgain)
def add(
    *, method_id: UUID, currency_id: UUID, transaction_id: str, amount: Decimal, caller: history.Caller
) -> UUID:
    """Record a payment and return its id, which is its transaction_id too if that is blank.

    Raises `Invalid` for a method or currency that does not exist and for an amount that the currency cannot hold, and
    `TransactionIdTaken` for a transaction_id in use.
    """
    minor_units, amount = _checked(method_id, currency_id, amount)
    # Made within the write: where one process alone writes to SQLite, the order of ids is the order of commits.
    payment_id = uuid7()
    if transaction_id.strip():
        _refuse_taken(transaction_id)
    else:
        transaction_id = str(payment_id)
    now = datetime.now(timezone.utc)
    values = {"method_id": method_id, "currency_id": currency_id, "transaction_id": transaction_id}
    _insert.execute(id=payment_id, **values, minor_units=minor_units, version=1, created_at=now, changed_at=now)
    history.add("created", payment_id, caller, now, after={"id": payment_id, **values, "amount": amount})
    return payment_id


@prepared
def _insert() -> ModelInsert:
    return Payment.insert({field: given(field) for field in Payment._meta.sorted_fields})


@write(unique=WriteAgain)
def update(
    payment_id: UUID | None,
    *,
    method_id: UUID,
    currency_id: UUID,
    transaction_id: str,
    amount: Decimal,
    caller: history.Caller,
    sent_id: UUID | None = None,
    versions: Collection[str] | None = None,
) -> None:
    """Change a payment; a blank transaction_id keeps the stored one.

    Raises `NotFound`, `PreconditionFailed` if the payment has none of the `versions`, `Invalid` for a `sent_id` that is
    another payment's, and what `add` raises.
    """
    before, version = _locked(payment_id, versions)
    if sent_id not in (None, before["id"]):
        raise Invalid(id="This is not the id in the path.")
    minor_units, amount = _checked(method_id, currency_id, amount)
    if not transaction_id.strip():
        transaction_id = before["transaction_id"]
    elif transaction_id != before["transaction_id"]:
        _refuse_taken(transaction_id)
    now = datetime.now(timezone.utc)
    values = {"method_id": method_id, "currency_id": currency_id, "transaction_id": transaction_id}
    changed = Payment.update(**values, minor_units=minor_units, version=version + 1, changed_at=now)
    changed.where(Payment.id == payment_id).execute()
    after = before | values | {"amount": amount}
    history.add("changed", before["id"], caller, now, before=before, after=after)


@write(foreign_key=lambda: Conflict(LINKED))
def delete(payment_id: UUID | None, *, caller: history.Caller, versions: Collection[str] | None = None) -> None:
    """Delete a payment.

    Raises `NotFound`, `PreconditionFailed` if it has none of the `versions`, and `Conflict` while a ticket is linked.
    """
    before, _ = _locked(payment_id, versions)
    Payment.delete().where(Payment.id == payment_id).execute()
    history.add("deleted", before["id"], caller, datetime.now(timezone.utc), before=before)


def _locked(payment_id: UUID | None, versions: Collection[str] | None) -> tuple[dict[str, Any], int]:
    """Return a payment and its version, and let nobody change it until the end of this write.

    Raises `NotFound`, and `PreconditionFailed` if it has none of the `versions`; None stands for any.
    """
    lock(payment_id)
    payment, version = get(payment_id)
    if versions is not None and str(version) not in versions:
        raise PreconditionFailed(version)
    return payment, version


def _refuse_taken(transaction_id: str) -> None:
    """Raise `TransactionIdTaken` if a payment has this transaction_id."""
    holder = _holder.first(transaction_id=transaction_id)
    if holder is not None:
        raise TransactionIdTaken(holder["id"])


@prepared
def _holder() -> ModelSelect:
    return Payment.select(Payment.id).where(Payment.transaction_id == given(Payment.transaction_id))


def _checked(method_id: UUID, currency_id: UUID, amount: Decimal) -> tuple[int, Decimal]:
    """Return an amount in minor units, and with exactly its currency's decimals.

    Raises `Invalid`, naming all that is refused, the method too.
    """
    refused = {}
    if methods.by_id.first(id=method_id) is None:
        refused["method_id"] = methods.NO_METHOD
    currency = currencies.by_id.first(id=currency_id)
    if currency is None:
        refused["currency_id"] = currencies.NO_CURRENCY
    else:
        decimals = currency["decimals"]
        try:
            minor_units = to_minor_units(amount, currency["acronym"], decimals)
        except InvalidAmount as error:
            refused["amount"] = str(error)
    if refused:
        raise Invalid(**refused)
    return minor_units, from_minor_units(minor_units, decimals)
