"""Payments: one at a time."""
import functools
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

import msgspec
import uuid_utils
from peewee import JOIN, Expression, ModelInsert, ModelSelect, Select

from ..codec import exact_number
from ..database import RetryWrite, current, on_commit, placeholder, prepared, write
from ..errors import Conflict, Invalid, NotFound, PreconditionFailed, TransactionIdTaken
from ..models import Currency, Method, Payment, TicketPayment
from ..money import InvalidAmount, format_amount, to_minor_units
from ..text import INVISIBLE_END, has_invisible_end
from . import currencies, history, ids, methods
from .history import Action, Caller, HistoryEntry
from .pages import Page
from .postings import Change, Kind

FIRST_VERSION = 1
NO_PAYMENT = "There is no payment with this id."
LINKED = "A ticket is linked to this payment: unlink it first."

# The columns from which a RecordedPayment is made. Ids are text: SQLite holds them without hyphens.
COLUMNS = {
    "id": Payment.id.cast("text"),
    "method_id": Payment.method.cast("text"),
    "currency_id": Payment.currency.cast("text"),
    "transaction_id": Payment.transaction_id,
    "minor_units": Payment.minor_units,
    "decimals": Currency.decimals,
}


class RecordedPayment(msgspec.Struct, frozen=True):
    """A payment as the API shows it; `codec.encode` writes it as JSON. `amount` has exactly the currency's decimals."""

    id: str
    method_id: str
    currency_id: str
    transaction_id: str
    amount: msgspec.Raw

    @classmethod
    def from_row(cls, row: tuple[Any, ...], **further_fields: str) -> Self:
        """Return the payment in a row of `COLUMNS`, with the further fields of a subclass."""
        payment_id, method_id, currency_id, transaction_id, minor_units, decimals = row
        return cls(
            format_uuid(payment_id),
            _format_repeated_uuid(method_id),
            _format_repeated_uuid(currency_id),
            transaction_id,
            exact_number(format_amount(minor_units, decimals)),
            **further_fields,
        )


def format_uuid(stored: str) -> str:
    """Return an id as text with hyphens (RFC 9562). Python's own UUID takes several times as long."""
    return str(uuid_utils.UUID(stored))


# For the ids of methods and currencies: there are few, and the rows of a list repeat them.
_format_repeated_uuid = functools.lru_cache(maxsize=1000)(format_uuid)


def count() -> int:
    """Return how many payments there are."""
    return int(Payment.select().count())


def get(payment_id: UUID | None) -> tuple[RecordedPayment, int]:
    """Return a payment and its version, which increases by one with each change; raises `NotFound`, also for None."""
    payment, version, _ = _read(payment_id)
    return payment, version


def _read(payment_id: UUID | None) -> tuple[RecordedPayment, int, int]:
    """Return a payment, its version and its minor units; raises `NotFound`, also for None."""
    row = _by_id.first_tuple(id=payment_id)
    if row is None:
        raise NotFound(NO_PAYMENT)
    *columns, version = row
    return RecordedPayment.from_row(tuple(columns)), version, dict(zip(COLUMNS, columns))["minor_units"]


@prepared
def _by_id() -> ModelSelect:
    columns = [*COLUMNS.values(), Payment.version]
    return Payment.select(*columns).join(Currency).where(Payment.id == placeholder(Payment.id))


def lock(payment_id: UUID | None) -> bool:
    """Lock a payment until the end of this write transaction, and tell whether it exists.

    Only one write at a time can hold the lock, and thus change the payment, its links or its history. Read the payment
    after this call: it may have changed while the call waited.
    """
    return bool(current.for_update(Payment.select(Payment.id).where(Payment.id == payment_id)).tuples())


def iterate_history(size: int, payment_id: UUID | None, after: int = 0) -> Iterator[Page[HistoryEntry]]:
    """Return a payment's history as `history.iterate_pages` does, also that of a deleted payment.

    Raises `NotFound` for a payment that never existed, and for None.
    """
    if not history.exists(payment_id):
        # A payment may be older than the history.
        get(payment_id)
    return history.iterate_pages(size, payment_id, after)


# On PostgreSQL another write may take the transaction_id after the check.
retry_taken_transaction_id = write({"payment_transaction_id": RetryWrite})


@retry_taken_transaction_id
def add(*, method_id: UUID, currency_id: UUID, transaction_id: str, amount: Decimal, caller: Caller) -> UUID:
    """Record a payment and return its id, which is its transaction_id too if that is empty.

    Raises `Invalid` for an unknown method or currency, for an amount that the currency cannot hold and for a
    transaction_id with a blank or an invisible character at either end, and `TransactionIdTaken` for one in use.
    """
    # All in one query: on PostgreSQL, each is a round trip.
    values = {"method_id": method_id, "currency_id": currency_id, "transaction_id": transaction_id}
    row = _before_adding.first_tuple(**values, id=ids.END_OF_IDS)
    acronym, decimals, holder, *newest = row or (None, None, None)
    currency = {"acronym": acronym, "decimals": decimals} if row else None
    minor_units, shown_amount = _check_fields(method_id, currency_id, transaction_id, amount, currency)
    payment_id = ids.make_payment_id(newest)
    if holder is not None:
        raise TransactionIdTaken(UUID(str(holder)))
    transaction_id = transaction_id or str(payment_id)
    now = datetime.now(timezone.utc)
    _insert.insert(
        id=payment_id,
        method_id=method_id,
        currency_id=currency_id,
        transaction_id=transaction_id,
        minor_units=minor_units,
        version=FIRST_VERSION,
        created_at=now,
        changed_at=now,
    )
    payment = RecordedPayment(str(payment_id), str(method_id), str(currency_id), transaction_id, shown_amount)
    posted = Change(Kind.PAYMENT, method_id, currency_id, minor_units)
    history.add(Action.CREATED, payment_id, caller, now, after=payment, changes=[posted])
    on_commit(current.metrics.payments.inc)
    return payment_id


@prepared
def _before_adding() -> Select:
    """Select a currency, if there is such a method too, the payment with a transaction_id, and the newest ids."""
    holder = Payment.select(Payment.id).where(Payment.transaction_id == placeholder(Payment.transaction_id))
    columns = [Currency.acronym, Currency.decimals, holder, *ids.select_newest_payments()]
    return Select([Currency, Method], columns).where(_currency_and_method_match())


@prepared
def _insert() -> ModelInsert:
    return Payment.insert({field: placeholder(field) for field in Payment._meta.sorted_fields})


@retry_taken_transaction_id
def update(
    payment_id: UUID | None,
    *,
    method_id: UUID,
    currency_id: UUID,
    transaction_id: str,
    amount: Decimal,
    caller: Caller,
    sent_id: UUID | None = None,
    versions: Collection[str] | None = None,
) -> int:
    """Change a payment and return its new version; an empty transaction_id keeps the stored one.

    Raises `NotFound`, `PreconditionFailed` unless it has one of the `versions` (None: any), `Invalid` for a `sent_id`
    that is another payment's, and what `add` raises.
    """
    payment_id, before, version, minor_units_before = _lock_and_get(payment_id, versions)
    if sent_id not in (None, payment_id):
        raise Invalid(id="This is not the id in the path.")
    currency = _currency_beside_method.first_dict(method_id=method_id, currency_id=currency_id)
    minor_units, shown_amount = _check_fields(method_id, currency_id, transaction_id, amount, currency)
    if not transaction_id:
        transaction_id = before.transaction_id
    elif transaction_id != before.transaction_id:
        _reject_taken(transaction_id)
    now = datetime.now(timezone.utc)
    Payment.update(
        method=method_id,
        currency=currency_id,
        transaction_id=transaction_id,
        minor_units=minor_units,
        version=version + 1,
        changed_at=now,
    ).where(Payment.id == payment_id).execute()
    after = RecordedPayment(before.id, str(method_id), str(currency_id), transaction_id, shown_amount)
    changes = _merge(_correct(before, -minor_units_before), _correct(after, minor_units))
    history.add(Action.CHANGED, payment_id, caller, now, before=before, after=after, changes=changes)
    return version + 1


def _correct(payment: RecordedPayment, minor_units: int) -> Change:
    return Change(Kind.CORRECTION, UUID(payment.method_id), UUID(payment.currency_id), minor_units)


def _merge(*changes: Change) -> list[Change]:
    """Return one correction for each method and currency whose sum changes."""
    sums: dict[tuple[UUID, UUID], int] = {}
    for change in changes:
        key = change.method_id, change.currency_id
        sums[key] = sums.get(key, 0) + change.minor_units
    return [Change(Kind.CORRECTION, *key, minor_units) for key, minor_units in sums.items() if minor_units]


@write()
def delete(payment_id: UUID | None, *, caller: Caller, versions: Collection[str] | None = None) -> None:
    """Delete a payment.

    Raises `NotFound`, `PreconditionFailed` unless it has one of the `versions` (None: any), and `Conflict` while a
    ticket is linked to it.
    """
    payment_id, before, _, minor_units = _lock_and_get(payment_id, versions)
    if TicketPayment.select().where(TicketPayment.payment == payment_id).exists():
        raise Conflict(LINKED)
    Payment.delete().where(Payment.id == payment_id).execute()
    changes = [_correct(before, -minor_units)]
    history.add(Action.DELETED, payment_id, caller, datetime.now(timezone.utc), before=before, changes=changes)


def _lock_and_get(
    payment_id: UUID | None, versions: Collection[str] | None
) -> tuple[UUID, RecordedPayment, int, int]:
    """Lock a payment until the end of this write; return its id, the payment, its version and its minor units.

    Raises `NotFound`, and `PreconditionFailed` unless it has one of the `versions` (None: any).
    """
    lock(payment_id)
    payment, version, minor_units = _read(payment_id)
    if versions is not None and str(version) not in versions:
        raise PreconditionFailed(version)
    return UUID(payment.id), payment, version, minor_units


def _reject_taken(transaction_id: str) -> None:
    """Raise `TransactionIdTaken` if a payment has this transaction_id."""
    holder = _by_transaction_id.first_dict(transaction_id=transaction_id)
    if holder is not None:
        raise TransactionIdTaken(holder["id"])


@prepared
def _by_transaction_id() -> ModelSelect:
    return Payment.select(Payment.id).where(Payment.transaction_id == placeholder(Payment.transaction_id))


def _check_fields(
    method_id: UUID, currency_id: UUID, transaction_id: str, amount: Decimal, currency: dict[str, Any] | None
) -> tuple[int, msgspec.Raw]:
    """Return an amount in minor units, and as JSON with exactly its currency's decimals.

    `currency` has its acronym and decimals, None if it or the method does not exist. Raises `Invalid`, naming every
    invalid field, also the others.
    """
    invalid = {}
    minor_units, shown_amount = 0, msgspec.Raw()
    if currency is None:
        if methods.by_id.first_tuple(id=method_id) is None:
            invalid["method_id"] = methods.NO_METHOD
        currency = currencies.by_id.first_dict(id=currency_id)
    # Earlier releases recorded such ids. One that exists is taken, or written back as it was read.
    if has_invisible_end(transaction_id) and _by_transaction_id.first_tuple(transaction_id=transaction_id) is None:
        invalid["transaction_id"] = INVISIBLE_END
    if currency is None:
        invalid["currency_id"] = currencies.NO_CURRENCY
    else:
        try:
            minor_units = to_minor_units(amount, currency["acronym"], currency["decimals"])
            shown_amount = exact_number(format_amount(minor_units, currency["decimals"]))
        except InvalidAmount as error:
            invalid["amount"] = str(error)
    if invalid:
        raise Invalid(**invalid)
    return minor_units, shown_amount


@prepared
def _currency_beside_method() -> ModelSelect:
    """Select a currency, if there is such a method too."""
    return Currency.select().join(Method, JOIN.CROSS).where(_currency_and_method_match())


def _currency_and_method_match() -> Expression:
    return (Currency.id == placeholder(Payment.currency)) & (Method.id == placeholder(Payment.method))
