"""Imports: payments that another system recorded, many at once. Their money was counted there: it is in no takings."""
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import peewee
from peewee import ForeignKeyField

from ..codec import encode, exact_number
from ..database import current, write
from ..errors import Conflict
from ..models import Currency, History, Method, Payment, Posting, Refund, Table, TicketPayment
from ..money import MAX_MINOR_UNITS, format_amount
from . import business_days, currencies, methods, postings
from .history import Action, Caller
from .payments import FIRST_VERSION, RecordedPayment, show_unless_zero
from .postings import Kind, join_halves, sum_halves
from .totals import Key

# The open closing before anything was closed, and the one that holds what is carried until then.
FIRST_CLOSING, BEFORE_CLOSINGS = 1, 0
CHANGED_MEANWHILE = "Something was recorded meanwhile that is also in the import: nothing was imported. Import again."
WRONG_SUMS = "What the database holds does not add up to what was imported: nothing was imported."


class ImportedTicket(msgspec.Struct, frozen=True):
    """A ticket that an imported payment paid; `share` is what of the payment goes to it, if somebody said so."""

    ticket_id: str
    share: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class ImportedRefund(msgspec.Struct, frozen=True):
    """A refund of an imported payment, with what the other system knew of it."""

    id: str
    method_id: str
    amount: msgspec.Raw
    reason: str | None
    transaction_id: str | None
    ticket_id: str | None
    user_id: str | None
    at: str


class ImportedPayment(RecordedPayment, frozen=True, kw_only=True):
    """A payment as the history shows it where it was imported.

    `created_at` and `user_id` are those of the other system, and `source` is what else that knew of it.
    """

    created_at: str
    user_id: str | msgspec.UnsetType = msgspec.UNSET
    tickets: list[ImportedTicket] | msgspec.UnsetType = msgspec.UNSET
    refunds: list[ImportedRefund] | msgspec.UnsetType = msgspec.UNSET
    source: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class NewTicket(NamedTuple):
    """A ticket of a payment to import, and its share in minor units, None if nobody said how much goes to it."""

    ticket_id: str
    share: int | None


class NewRefund(NamedTuple):
    """A refund of a payment to import, in minor units of the payment's currency."""

    id: UUID
    method_id: UUID
    minor_units: int
    reason: str | None
    transaction_id: str | None
    ticket_id: str | None
    user_id: str | None
    at: datetime

    def show(self, decimals: int) -> ImportedRefund:
        """Return the refund as the history shows it."""
        return ImportedRefund(
            str(self.id),
            str(self.method_id),
            exact_number(format_amount(self.minor_units, decimals)),
            self.reason,
            self.transaction_id,
            self.ticket_id,
            self.user_id,
            self.at.isoformat(),
        )


class NewPayment(NamedTuple):
    """A payment to import. Amounts are in minor units of a currency with that many decimals."""

    id: UUID
    method_id: UUID
    currency_id: UUID
    decimals: int
    # The payment's id if it is None.
    transaction_id: str | None
    minor_units: int
    tip: int
    created_at: datetime
    user_id: str | None
    # What else the other system knew, as JSON text.
    source: str | None
    tickets: Sequence[NewTicket]
    refunds: Sequence[NewRefund]

    @property
    def refunded(self) -> int:
        """What the refunds add up to."""
        return sum(refund.minor_units for refund in self.refunds)

    def show(self) -> ImportedPayment:
        """Return the payment as the history shows it."""
        tickets = [
            ImportedTicket(ticket.ticket_id)
            if ticket.share is None
            else ImportedTicket(ticket.ticket_id, exact_number(format_amount(ticket.share, self.decimals)))
            for ticket in self.tickets
        ]
        return ImportedPayment(
            str(self.id),
            str(self.method_id),
            str(self.currency_id),
            self.transaction_id or str(self.id),
            exact_number(format_amount(self.minor_units, self.decimals)),
            show_unless_zero(self.tip, self.decimals),
            created_at=self.created_at.isoformat(),
            user_id=msgspec.UNSET if self.user_id is None else self.user_id,
            tickets=tickets or msgspec.UNSET,
            refunds=[refund.show(self.decimals) for refund in self.refunds] or msgspec.UNSET,
            source=msgspec.UNSET if self.source is None else msgspec.Raw(self.source.encode()),
        )


class Known(NamedTuple):
    """What is stored of a payment, for comparison. Amounts are in minor units."""

    method_id: UUID
    currency_id: UUID
    minor_units: int
    tip: int
    created_at: datetime


class Sum(NamedTuple):
    """How many payments a method and currency have, and what they and their tips add up to in minor units."""

    payments: int = 0
    minor_units: int = 0
    tip: int = 0


def find_known(payment_ids: Collection[UUID]) -> dict[UUID, Known | None]:
    """Return what is stored of those of some payments that there are; None for one that was deleted."""
    wanted = list(payment_ids)
    entries = History.select(History.payment_id).where(History.payment_id.in_(wanted)).distinct()
    known: dict[UUID, Known | None] = {payment_id: None for (payment_id,) in entries.tuples()}
    columns = [
        Payment.id, Payment.method, Payment.currency, Payment.minor_units, Payment.tip_units, Payment.created_at,
    ]
    for payment_id, *values in Payment.select(*columns).where(Payment.id.in_(wanted)).tuples():
        known[payment_id] = Known(*values)
    return known


def find_taken(transaction_ids: Collection[str]) -> set[str]:
    """Return those of some transaction_ids that payments have."""
    found = Payment.select(Payment.transaction_id).where(Payment.transaction_id.in_(list(transaction_ids)))
    return {transaction_id for (transaction_id,) in found.tuples()}


def find_taken_refunds(refund_ids: Collection[UUID]) -> set[UUID]:
    """Return those of some ids that refunds have."""
    found = Refund.select(Refund.id).where(Refund.id.in_(list(refund_ids)))
    return {refund_id for (refund_id,) in found.tuples()}


def _reject_changed() -> Conflict:
    return Conflict(CHANGED_MEANWHILE)


CHANGED = ["payment_pkey", "payment_transaction_id", "refund_pkey", "method_pkey", "currency_pkey"]
CONSTRAINTS = {
    **dict.fromkeys(CHANGED, _reject_changed),
    **methods.NAME_TAKEN,
    **currencies.ACRONYM_TAKEN,
}


@write(CONSTRAINTS)
def add(
    new_methods: Collection[dict[str, Any]],
    new_currencies: Collection[dict[str, Any]],
    read_batches: Callable[[], Iterable[Sequence[NewPayment]]],
    caller: Caller,
) -> dict[Key, Sum]:
    """Record methods, currencies and payments with their tickets; return what is then in the database, by their keys.

    Everything is one transaction. A batch is in the memory at a time; they are read again if the transaction is
    repeated. `caller` has a request_id of its own. Each payment gets an entry `imported` in the history. Its money is
    carried: it belongs to no takings, and to closing 0 if nothing was closed yet. An archive that is sealed cannot
    change, so it belongs to the open closing otherwise. Raises `Conflict` if another write came in between.
    """
    for model, rows in ((Method, new_methods), (Currency, new_currencies)):
        if rows:
            model.insert_many(rows).execute()
    open_number = int(postings.select_open_number().scalar())
    now = datetime.now(timezone.utc)
    sums: dict[Key, Sum] = {}
    carried: dict[Key, tuple[int, int]] = {}
    first_entry = History.select(peewee.fn.MAX(History.id)).scalar() or 0
    for batch in read_batches():
        _insert_batch(batch, open_number, caller, now)
        for payment in batch:
            key = Key(payment.method_id, payment.currency_id)
            count, minor_units, tip = sums.get(key, Sum())
            sums[key] = Sum(count + 1, minor_units + payment.minor_units, tip + payment.tip)
            changes = [(key, payment.minor_units, payment.tip)]
            changes += [(Key(refund.method_id, key.currency_id), -refund.minor_units, 0) for refund in payment.refunds]
            for changed, amount, tip in changes:
                total, tips = carried.get(changed, (0, 0))
                carried[changed] = total + amount, tips + tip
    closing = BEFORE_CLOSINGS if open_number == FIRST_CLOSING else open_number
    _carry(carried, closing, caller.user_id, business_days.find_date(now))
    recorded = _sum_recorded(first_entry, caller.request_id)
    if recorded != sums:
        raise peewee.OperationalError(WRONG_SUMS)
    return recorded


def _insert_batch(batch: Sequence[NewPayment], closing: int, caller: Caller, now: datetime) -> None:
    paid, entries, links, refunds = [], [], [], []
    for payment in batch:
        shown = payment.show()
        allocated = sum(ticket.share or 0 for ticket in payment.tickets)
        paid.append(
            (
                payment.id, payment.method_id, payment.currency_id, shown.transaction_id, payment.minor_units,
                FIRST_VERSION, payment.created_at, payment.created_at, payment.refunded, payment.tip,
                allocated,
            )
        )
        text = encode(shown).decode()
        entries.append((payment.id, now, caller.user_id, caller.request_id, Action.IMPORTED.value, None, text, closing))
        for place, ticket in enumerate(payment.tickets):
            # Each later than the one before: a payment's tickets are listed in the order of linking.
            linked_at = payment.created_at + place * timedelta.resolution
            links.append((payment.id, ticket.ticket_id, linked_at, ticket.share))
        refunds += [
            (refund.id, payment.id, refund.method_id, *refund[2:], closing) for refund in payment.refunds
        ]
    _insert_rows(Payment, paid)
    _insert_rows(History, entries)
    _insert_rows(TicketPayment, links)
    _insert_rows(Refund, refunds)


def _insert_rows(table: type[Table], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows with a value for each column but the id that the database gives.

    Peewee takes several times as long to write such a statement as the database takes to run it.
    """
    if not rows:
        return
    fields = [field for field in table._meta.sorted_fields if not isinstance(field, peewee.AutoField)]
    stored = [(field.rel_field if isinstance(field, ForeignKeyField) else field).db_value for field in fields]
    # A column at a time: a million payments have 30 million values.
    values = list(zip(*(map(convert, column) for convert, column in zip(stored, zip(*rows)))))
    if current.insert_rows(table._meta.table_name, [field.column_name for field in fields], values) != len(rows):
        raise peewee.OperationalError("the database drops rows silently: look for triggers and rules of others")


def _carry(sums: dict[Key, tuple[int, int]], closing: int, user_id: str | None, business_date: date) -> None:
    """Post what payments less refunds add up to, and their tips. A sum over a BIGINT makes several postings."""
    rows = []
    for key, amounts in sorted(sums.items()):
        left = list(amounts)
        while any(left):
            parts = [max(-MAX_MINOR_UNITS, min(amount, MAX_MINOR_UNITS)) for amount in left]
            rows.append((None, *key, user_id, Kind.CARRIED.value, closing, business_date, *parts))
            left = [amount - part for amount, part in zip(left, parts)]
    _insert_rows(Posting, rows)


def _sum_recorded(first_entry: int, request_id: str) -> dict[Key, Sum]:
    """Return what the payments of an import add up to in the database."""
    halves = [*sum_halves(Payment.minor_units), *sum_halves(Payment.tip_units)]
    query = (
        Payment.select(Payment.method, Payment.currency, peewee.fn.COUNT(Payment.id), *halves)
        .join(History, on=(History.payment_id == Payment.id))
        .where((History.id > first_entry) & (History.request_id == request_id))
        .group_by(Payment.method, Payment.currency)
    )
    return {
        Key(method_id, currency_id): Sum(count, join_halves(high, low), join_halves(high_tip, low_tip))
        for method_id, currency_id, count, high, low, high_tip, low_tip in query.tuples()
    }
