"""Payments: one at a time."""
import functools
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple, Self
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
REFUNDED = "This payment has refunds: delete them first, if they are a mistake."
TIP_TOO_LARGE = "Must not be more than the amount."
TIP_IN_OTHER_CURRENCY = "Send the tip in the new currency, 0 for none."
CURRENCY_IN_USE = "Refunds or shares of tickets are in the payment's currency: it cannot change."

# The columns from which a RecordedPayment is made. Ids are text: SQLite holds them without hyphens.
COLUMNS = [
    Payment.id.cast("text"), Payment.method.cast("text"), Payment.currency.cast("text"), Payment.transaction_id,
    Payment.minor_units, Currency.decimals, Payment.tip_units,
]


class RecordedPayment(msgspec.Struct, frozen=True):
    """A payment as the API shows it; `codec.encode` writes it as JSON. `amount` has exactly the currency's decimals.

    So has `tip`, which is shown only if it is not zero.
    """

    id: str
    method_id: str
    currency_id: str
    transaction_id: str
    amount: msgspec.Raw
    tip: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> Self:
        """Return the payment in a row of `COLUMNS`."""
        payment_id, method_id, currency_id, transaction_id, minor_units, decimals, tip_units = row
        return cls(
            format_uuid(payment_id),
            format_repeated_uuid(method_id),
            format_repeated_uuid(currency_id),
            transaction_id,
            exact_number(format_amount(minor_units, decimals)),
            show_unless_zero(tip_units, decimals),
        )


class StoredPayment(NamedTuple):
    """A payment as the API shows it, and what else is stored of it; amounts are in minor units.

    `refunded` is what its refunds add up to, `allocated` what the shares of its tickets add up to.
    """

    shown: RecordedPayment
    version: int
    minor_units: int
    tip: int
    refunded: int
    allocated: int
    acronym: str
    decimals: int

    @property
    def id(self) -> UUID:
        """The payment's id."""
        return UUID(self.shown.id)

    @property
    def method_id(self) -> UUID:
        """The id of its method."""
        return UUID(self.shown.method_id)

    @property
    def currency_id(self) -> UUID:
        """The id of its currency."""
        return UUID(self.shown.currency_id)


def show_unless_zero(minor_units: int, decimals: int) -> msgspec.Raw | msgspec.UnsetType:
    """Return an amount as JSON with exactly that many decimals, UNSET for zero."""
    return exact_number(format_amount(minor_units, decimals)) if minor_units else msgspec.UNSET


def format_uuid(stored: str) -> str:
    """Return an id as text with hyphens (RFC 9562). Python's own UUID takes several times as long."""
    return str(uuid_utils.UUID(stored))


# For the ids of methods and currencies: there are few, and rows repeat them.
format_repeated_uuid = functools.lru_cache(maxsize=1000)(format_uuid)


def count() -> int:
    """Return how many payments there are."""
    return int(Payment.select().count())


def get(payment_id: UUID | None) -> tuple[RecordedPayment, int]:
    """Return a payment and its version, which increases by one with each change; raises `NotFound`, also for None."""
    payment = read(payment_id)
    return payment.shown, payment.version


def read(payment_id: UUID | None) -> StoredPayment:
    """Return a payment and what else is stored of it; raises `NotFound`, also for None."""
    row = _by_id.first_tuple(id=payment_id)
    if row is None:
        raise NotFound(NO_PAYMENT)
    *columns, version, refunded, allocated, acronym = row
    *_, minor_units, decimals, tip = columns
    shown = RecordedPayment.from_row(tuple(columns))
    return StoredPayment(shown, version, minor_units, tip, refunded, allocated, acronym, decimals)


@prepared
def _by_id() -> ModelSelect:
    columns = [
        *COLUMNS, Payment.version, Payment.refunded_units, Payment.allocated_units, Currency.acronym,
    ]
    return Payment.select(*columns).join(Currency).where(Payment.id == placeholder(Payment.id))


def lock(payment_id: UUID | None) -> bool:
    """Lock a payment until the end of this write transaction, and tell whether it exists.

    Only one write at a time can hold the lock, and thus change the payment, its links, its refunds or its history. Read
    the payment after this call: it may have changed while the call waited.
    """
    return _lock.first_tuple(id=payment_id) is not None


@prepared
def _lock() -> ModelSelect:
    locked: ModelSelect = current.for_update(Payment.select(Payment.id).where(Payment.id == placeholder(Payment.id)))
    return locked


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
def add(
    *,
    method_id: UUID,
    currency_id: UUID,
    transaction_id: str,
    amount: Decimal,
    tip: Decimal | None = None,
    caller: Caller,
) -> UUID:
    """Record a payment and return its id, which is its transaction_id too if that is empty.

    The tip is a part of the amount. Raises `Invalid` for an unknown method or currency, for an amount or a tip that the
    currency cannot hold, for a tip that is more than the amount, and for a transaction_id with a blank or an invisible
    character at either end, and `TransactionIdTaken` for one in use.
    """
    # All in one query: on PostgreSQL, each is a round trip.
    values = {"method_id": method_id, "currency_id": currency_id, "transaction_id": transaction_id}
    row = _before_adding.first_tuple(**values, id=ids.END_OF_IDS)
    acronym, decimals, holder, *newest = row or (None, None, None)
    currency = {"acronym": acronym, "decimals": decimals} if row else None
    amounts = _check_fields(method_id, currency_id, transaction_id, amount, tip or Decimal(), currency)
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
        minor_units=amounts.minor_units,
        version=FIRST_VERSION,
        created_at=now,
        changed_at=now,
        refunded_units=0,
        tip_units=amounts.tip,
        allocated_units=0,
    )
    payment = RecordedPayment(str(payment_id), str(method_id), str(currency_id), transaction_id, *amounts.show())
    posted = Change(Kind.PAYMENT, method_id, currency_id, amounts.minor_units, amounts.tip)
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
    tip: Decimal | None = None,
    caller: Caller,
    sent_id: UUID | None = None,
    versions: Collection[str] | None = None,
) -> int:
    """Change a payment and return its new version; an empty transaction_id and a tip of None keep the stored ones.

    Raises `NotFound`, `PreconditionFailed` unless it has one of the `versions` (None: any), `Invalid` for a `sent_id`
    that is another payment's, and what `add` raises. Raises `Conflict` for an amount that is less than what is
    refunded, or than what goes to tickets and the tip, and for another currency than theirs.
    """
    before = lock_and_read(payment_id, versions)
    if sent_id not in (None, before.id):
        raise Invalid(id="This is not the id in the path.")
    if tip is None and before.tip and currency_id != before.currency_id:
        raise Invalid(tip=TIP_IN_OTHER_CURRENCY)
    currency = _currency_beside_method.first_dict(method_id=method_id, currency_id=currency_id)
    amounts = _check_fields(method_id, currency_id, transaction_id, amount, tip or Decimal(), currency)
    if tip is None:
        amounts = amounts._replace(tip=before.tip)
    _reject_too_little(before, currency_id, amounts)
    if not transaction_id:
        transaction_id = before.shown.transaction_id
    elif transaction_id != before.shown.transaction_id:
        _reject_taken(transaction_id)
    now = datetime.now(timezone.utc)
    Payment.update(
        method=method_id,
        currency=currency_id,
        transaction_id=transaction_id,
        minor_units=amounts.minor_units,
        tip_units=amounts.tip,
        version=before.version + 1,
        changed_at=now,
    ).where(Payment.id == before.id).execute()
    after = RecordedPayment(before.shown.id, str(method_id), str(currency_id), transaction_id, *amounts.show())
    corrected = Change(Kind.CORRECTION, method_id, currency_id, amounts.minor_units, amounts.tip)
    changes = _merge(_take_back(before), corrected)
    history.add(Action.CHANGED, before.id, caller, now, before=before.shown, after=after, changes=changes)
    return before.version + 1


def _reject_too_little(before: StoredPayment, currency_id: UUID, amounts: "Amounts") -> None:
    """Raise `Conflict` if what is refunded, or goes to tickets and the tip, does not fit into changed amounts."""
    if currency_id != before.currency_id and (before.refunded or before.allocated):
        raise Conflict(CURRENCY_IN_USE)
    if amounts.minor_units < before.refunded:
        refunded = format_amount(before.refunded, before.decimals)
        raise Conflict(f"{refunded} of this payment is refunded: it cannot be less.")
    if amounts.minor_units < before.allocated + amounts.tip:
        allocated = format_amount(before.allocated, amounts.decimals)
        tip = format_amount(amounts.tip, amounts.decimals)
        least = format_amount(before.allocated + amounts.tip, amounts.decimals)
        raise Conflict(f"{allocated} goes to tickets and {tip} is the tip: at least {least}.")


def _take_back(payment: StoredPayment) -> Change:
    return Change(Kind.CORRECTION, payment.method_id, payment.currency_id, -payment.minor_units, -payment.tip)


def _merge(*changes: Change) -> list[Change]:
    """Return one correction for each method and currency whose sum or tip changes."""
    sums: dict[tuple[UUID, UUID], tuple[int, int]] = {}
    for change in changes:
        key = change.method_id, change.currency_id
        minor_units, tip = sums.get(key, (0, 0))
        sums[key] = minor_units + change.minor_units, tip + change.tip_units
    return [Change(Kind.CORRECTION, *key, *amounts) for key, amounts in sums.items() if any(amounts)]


@write()
def delete(payment_id: UUID | None, *, caller: Caller, versions: Collection[str] | None = None) -> None:
    """Delete a payment.

    Raises `NotFound`, `PreconditionFailed` unless it has one of the `versions` (None: any), and `Conflict` while a
    ticket is linked to it, and while it has refunds.
    """
    before = lock_and_read(payment_id, versions)
    if TicketPayment.select().where(TicketPayment.payment == before.id).exists():
        raise Conflict(LINKED)
    if before.refunded:
        raise Conflict(REFUNDED)
    Payment.delete().where(Payment.id == before.id).execute()
    now = datetime.now(timezone.utc)
    history.add(Action.DELETED, before.id, caller, now, before=before.shown, changes=[_take_back(before)])


def lock_and_read(payment_id: UUID | None, versions: Collection[str] | None = None) -> StoredPayment:
    """Lock a payment until the end of this write, and return it.

    Raises `NotFound`, and `PreconditionFailed` unless it has one of the `versions` (None: any).
    """
    lock(payment_id)
    payment = read(payment_id)
    if versions is not None and str(payment.version) not in versions:
        raise PreconditionFailed(payment.version)
    return payment


def _reject_taken(transaction_id: str) -> None:
    """Raise `TransactionIdTaken` if a payment has this transaction_id."""
    holder = _by_transaction_id.first_dict(transaction_id=transaction_id)
    if holder is not None:
        raise TransactionIdTaken(holder["id"])


@prepared
def _by_transaction_id() -> ModelSelect:
    return Payment.select(Payment.id).where(Payment.transaction_id == placeholder(Payment.transaction_id))


class Amounts(NamedTuple):
    """The amount and the tip of a payment in minor units, and the decimals of their currency."""

    minor_units: int
    tip: int
    decimals: int

    def show(self) -> tuple[msgspec.Raw, msgspec.Raw | msgspec.UnsetType]:
        """Return them as JSON with exactly the currency's decimals; a tip of zero is not shown."""
        amount = exact_number(format_amount(self.minor_units, self.decimals))
        return amount, show_unless_zero(self.tip, self.decimals)


def _check_fields(
    method_id: UUID,
    currency_id: UUID,
    transaction_id: str,
    amount: Decimal,
    tip: Decimal,
    currency: dict[str, Any] | None,
) -> Amounts:
    """Return an amount and a tip in minor units.

    `currency` has its acronym and decimals, None if it or the method does not exist. Raises `Invalid`, naming every
    invalid field, also the others.
    """
    invalid = {}
    if currency is None:
        if methods.by_id.first_tuple(id=method_id) is None:
            invalid["method_id"] = methods.NO_METHOD
        currency = currencies.by_id.first_dict(id=currency_id)
    # Earlier releases recorded such ids. One that exists is taken, or written back as it was read.
    if has_invisible_end(transaction_id) and _by_transaction_id.first_tuple(transaction_id=transaction_id) is None:
        invalid["transaction_id"] = INVISIBLE_END
    amounts = None
    if currency is None:
        invalid["currency_id"] = currencies.NO_CURRENCY
    else:
        try:
            amounts = _convert(amount, tip, currency["acronym"], currency["decimals"])
        except Invalid as error:
            invalid |= error.fields
    if amounts is None or invalid:
        raise Invalid(**invalid)
    return amounts


def _convert(amount: Decimal, tip: Decimal, acronym: str, decimals: int) -> Amounts:
    """Return an amount and a tip in minor units; raises `Invalid`, naming each that is invalid."""
    invalid = {}
    minor_units = []
    for name, value in (("amount", amount), ("tip", tip)):
        try:
            minor_units.append(to_minor_units(value, acronym, decimals))
        except InvalidAmount as error:
            invalid[name] = str(error)
    if not invalid and tip > amount:
        invalid["tip"] = TIP_TOO_LARGE
    if invalid:
        raise Invalid(**invalid)
    return Amounts(minor_units[0], minor_units[1], decimals)


@prepared
def _currency_beside_method() -> ModelSelect:
    """Select a currency, if there is such a method too."""
    return Currency.select().join(Method, JOIN.CROSS).where(_currency_and_method_match())


def _currency_and_method_match() -> Expression:
    return (Currency.id == placeholder(Payment.currency)) & (Method.id == placeholder(Payment.method))
