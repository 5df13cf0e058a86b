"""Lightning invoices: what tills asked for, what the node has offered, and whether it was paid.

Nothing here calls the node. `offering` and `settling` do, between these transactions.
"""
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from peewee import Expression, ModelSelect, fn

from ..codec import exact_number
from ..database import RetryWrite, current, placeholder, prepared, write
from ..errors import BackendFault, Conflict, Invalid, NotFound, TransactionIdTaken
from ..models import Currency, LightningInvoice, Payment, TicketPayment
from ..money import MAX_SAT, InvalidAmount, format_amount, to_positive_minor_units
from ..text import INVISIBLE_END, has_invisible_end
from . import currencies, methods, payments, ticket_payments
from .history import Caller
from .pages import Page, iterate_rows

MSAT_PER_SAT = 1000

NO_INVOICE = "There is no Lightning invoice with this id."
NOT_MADE = "The Lightning node has not made this invoice yet: send the same PUT again."
OTHER_CONTENT = "Another invoice has this id, with other values: make a new id for each invoice."
TOO_MUCH = "Is more bitcoin than can exist."
OTHER_SAT = "An amount in this currency is a number of satoshi already: send the same number, or none."


class State(StrEnum):
    """The state of an invoice as the API shows it. A withdrawn one is expired."""

    OPEN = "open"
    EXPIRED = "expired"
    PAID = "paid"


class StoredState(StrEnum):
    """The state of an invoice in the database."""

    # The node has offered nothing yet.
    NEW = "new"
    # Until it is paid, also after its expiry.
    OPEN = "open"
    # Nobody should pay it. If somebody does, the money is recorded all the same.
    WITHDRAWN = "withdrawn"
    PAID = "paid"


class Wanted(NamedTuple):
    """What a till wants an invoice for, in the minor units of a currency."""

    ticket_id: str | None
    currency_id: UUID
    minor_units: int
    asked_sat: int | None
    memo: str | None


class StoredInvoice(NamedTuple):
    """An invoice as it is stored, and its currency."""

    number: int
    id: UUID
    wanted: Wanted
    caller: Caller
    created_at: datetime
    stored_state: str
    amount_sat: int | None
    rate: str | None
    bolt11: str | None
    payment_hash: str | None
    expires_at: datetime | None
    received_msat: int | None
    payment_id: UUID | None
    paid_at: datetime | None
    acronym: str
    decimals: int

    @property
    def state(self) -> State:
        """The state at this moment."""
        if self.stored_state == StoredState.PAID:
            return State.PAID
        if self.stored_state == StoredState.OPEN and self.expires_at and self.expires_at > datetime.now(timezone.utc):
            return State.OPEN
        return State.EXPIRED

    @property
    def amount(self) -> Decimal:
        """The amount in the currency."""
        return Decimal(format_amount(self.wanted.minor_units, self.decimals))

    @property
    def fixed_sat(self) -> int | None:
        """The amount in satoshi that needs no rate, None if it needs one."""
        return self.wanted.minor_units if self.wanted.currency_id == currencies.BITCOIN_ID else self.wanted.asked_sat

    def show(self) -> dict[str, Any]:
        """Return the invoice as the API shows it. A withdrawn one has no text that could be paid."""
        return {
            "id": self.id,
            "state": self.state.value,
            "ticket_id": self.wanted.ticket_id,
            "currency_id": self.wanted.currency_id,
            "currency": self.acronym,
            "amount": exact_number(format_amount(self.wanted.minor_units, self.decimals)),
            "amount_sat": self.amount_sat,
            "rate": None if self.rate is None else exact_number(self.rate),
            "memo": self.wanted.memo,
            "bolt11": None if self.stored_state == StoredState.WITHDRAWN else self.bolt11,
            "payment_hash": self.payment_hash,
            "created_at": self.created_at.isoformat(),
            "expires_at": _show_time(self.expires_at),
            "payment_id": self.payment_id,
            "received_sat": None if self.received_msat is None else self.received_msat // MSAT_PER_SAT,
            "paid_at": _show_time(self.paid_at),
        }


def _show_time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


class Watched(NamedTuple):
    """An invoice that the node is asked about."""

    id: UUID
    state: str
    payment_hash: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class InvoiceFilter:
    """Which invoices to list: those that match everything that is not None."""

    state: State | None = None
    ticket_id: str | None = None
    paid_from: datetime | None = None


COLUMNS = [
    LightningInvoice.number, LightningInvoice.id, LightningInvoice.ticket_id, LightningInvoice.currency,
    LightningInvoice.minor_units, LightningInvoice.asked_sat, LightningInvoice.memo, LightningInvoice.user_id,
    LightningInvoice.request_id, LightningInvoice.created_at, LightningInvoice.state, LightningInvoice.amount_sat,
    LightningInvoice.rate, LightningInvoice.bolt11, LightningInvoice.payment_hash, LightningInvoice.expires_at,
    LightningInvoice.received_msat, LightningInvoice.payment_id, LightningInvoice.paid_at, Currency.acronym,
    Currency.decimals,
]


def _from_row(row: tuple[Any, ...]) -> StoredInvoice:
    number, invoice_id, *others = row
    wanted, caller, others = Wanted(*others[:5]), Caller(*others[5:7]), others[7:]
    return StoredInvoice(number, invoice_id, wanted, caller, *others)


def find(invoice_id: UUID | None) -> StoredInvoice | None:
    """Return an invoice, also one that the node has offered nothing for yet; None if there is none."""
    row = _by_id.first_dict(id=invoice_id)
    return _from_row(tuple(row.values())) if row else None


@prepared
def _by_id() -> ModelSelect:
    query = LightningInvoice.select(*COLUMNS).join(Currency)
    return query.where(LightningInvoice.id == placeholder(LightningInvoice.id))


def get(invoice_id: UUID | None) -> StoredInvoice:
    """Return an invoice; raises `NotFound`, also for None and for one that the node has offered nothing for yet."""
    invoice = find(invoice_id)
    if invoice is None or invoice.stored_state == StoredState.NEW:
        raise NotFound(NO_INVOICE if invoice is None else NOT_MADE)
    return invoice


def find_user(invoice_id: UUID | None) -> str | None:
    """Return the user that an invoice was made for, None if there is no such invoice or its token named nobody."""
    invoice = find(invoice_id)
    return invoice.caller.user_id if invoice else None


# On PostgreSQL another request may insert the invoice after the look for it.
@write({"lightning_invoice_id": RetryWrite})
def add(
    invoice_id: UUID,
    *,
    currency_id: UUID,
    amount: Decimal,
    ticket_id: str | None = None,
    amount_sat: int | None = None,
    memo: str | None = None,
    caller: Caller,
) -> tuple[StoredInvoice, bool]:
    """Store what a till wants an invoice for, unless it is stored; return it, and whether it was not stored yet.

    Raises `Conflict` if the id is used for something else. Raises `Invalid` for an unknown currency, for an amount that
    the currency cannot hold, for one of zero, for another number of satoshi than an amount in bitcoin is, and for a
    ticket_id or a memo with a blank or an invisible character at either end.
    """
    wanted = _check_fields(currency_id, amount, ticket_id, amount_sat, memo)
    is_new = find(invoice_id) is None
    if is_new:
        _insert(invoice_id, wanted, caller)
    invoice = _lock(invoice_id)
    if invoice.wanted != wanted:
        raise Conflict(OTHER_CONTENT)
    return invoice, is_new


def _insert(invoice_id: UUID, wanted: Wanted, caller: Caller) -> None:
    LightningInvoice.insert(
        id=invoice_id,
        ticket_id=wanted.ticket_id,
        currency=wanted.currency_id,
        minor_units=wanted.minor_units,
        asked_sat=wanted.asked_sat,
        memo=wanted.memo,
        user_id=caller.user_id,
        request_id=caller.request_id,
        created_at=datetime.now(timezone.utc),
        state=StoredState.NEW.value,
        watched=False,
    ).execute()


def _check_fields(
    currency_id: UUID, amount: Decimal, ticket_id: str | None, amount_sat: int | None, memo: str | None
) -> Wanted:
    """Return what is wanted, the amount in minor units; raises `Invalid`, naming every field that is invalid."""
    texts = {"ticket_id": ticket_id, "memo": memo}
    invalid = {name: INVISIBLE_END for name, text in texts.items() if text is not None and has_invisible_end(text)}
    minor_units = 0
    currency = currencies.by_id.first_dict(id=currency_id)
    if currency is None:
        invalid["currency_id"] = currencies.NO_CURRENCY
    else:
        try:
            minor_units = to_positive_minor_units(amount, currency["acronym"], currency["decimals"])
        except InvalidAmount as error:
            invalid["amount"] = str(error)
        if currency_id == currencies.BITCOIN_ID:
            invalid |= _check_bitcoin(minor_units, amount_sat)
    if invalid:
        raise Invalid(**invalid)
    return Wanted(ticket_id, currency_id, minor_units, amount_sat, memo)


def _check_bitcoin(minor_units: int, amount_sat: int | None) -> dict[str, str]:
    """Return what is wrong with an amount in bitcoin, whose minor unit is the satoshi, by field."""
    invalid = {"amount": TOO_MUCH} if minor_units > MAX_SAT else {}
    return invalid | ({"amount_sat": OTHER_SAT} if amount_sat not in (None, minor_units) else {})


OFFERED_TWICE = {
    f"lightning_invoice_{column}": lambda: BackendFault("the node offers an invoice that it has offered before")
    for column in ("bolt11", "payment_hash")
}


@write(OFFERED_TWICE)
def store_offer(
    invoice_id: UUID, *, amount_sat: int, rate: str | None, bolt11: str, payment_hash: str, expires_at: datetime
) -> bool:
    """Store what the node has offered and watch it, and tell whether this was the first offer.

    Nothing is stored for an invoice that has an offer, or that was withdrawn meanwhile. Raises
    `BackendFault` for an offer that another invoice has.
    """
    offer: dict[str, Any] = {"amount_sat": amount_sat, "rate": rate, "bolt11": bolt11, "payment_hash": payment_hash}
    offer |= {"expires_at": expires_at, "state": StoredState.OPEN.value, "watched": True}
    this_one = (LightningInvoice.id == invoice_id) & (LightningInvoice.state == StoredState.NEW.value)
    return bool(LightningInvoice.update(offer).where(this_one).execute())


@write()
def withdraw(invoice_id: UUID | None) -> None:
    """Let an invoice not be offered any more, if that is not so already. It is watched all the same.

    Raises `NotFound`, and `Conflict` for one that is paid.
    """
    invoice = _lock(invoice_id)
    if invoice.state is State.PAID:
        raise Conflict("This invoice is paid: refund the payment, if it is a mistake.")
    LightningInvoice.update(state=StoredState.WITHDRAWN.value).where(LightningInvoice.id == invoice.id).execute()


def _lock(invoice_id: UUID | None) -> StoredInvoice:
    """Lock an invoice until the end of this write, and return it; raises `NotFound`."""
    query = LightningInvoice.select(LightningInvoice.id).where(LightningInvoice.id == invoice_id)
    current.for_update(query).execute()
    invoice = find(invoice_id)
    if invoice is None:
        raise NotFound(NO_INVOICE)
    return invoice


def list_watched() -> list[Watched]:
    """Return the invoices that the node is asked about, in the order of making."""
    return [Watched(*row) for row in _watched_rows()]


def _watched_rows() -> list[tuple[Any, ...]]:
    columns = [
        LightningInvoice.id, LightningInvoice.state, LightningInvoice.payment_hash, LightningInvoice.created_at,
        LightningInvoice.expires_at,
    ]
    query = LightningInvoice.select(*columns).where(LightningInvoice.watched == True)  # noqa: E712
    return list(query.order_by(LightningInvoice.number).tuples())


# A till may record the payment by hand at the same time.
@write({"payment_transaction_id": RetryWrite})
def settle(invoice_id: UUID, *, received_msat: int | None, fees_msat: int) -> "Settlement":
    """Record that the node was paid, as a payment with its link to the ticket, unless it is recorded already.

    `received_msat` is what the node has received after `fees_msat`, None if it does not say. A payment that somebody
    has recorded by hand, under the payment hash or the invoice's text, is taken for this one. Where the ticket cannot
    get its share, it is linked without one. If less came than was asked, nothing is recorded but how much it was.
    """
    invoice = _lock(invoice_id)
    if invoice.state is State.PAID:
        return Settlement(invoice, is_new=False, is_short=False)
    asked_msat = (invoice.amount_sat or 0) * MSAT_PER_SAT
    if received_msat is not None and received_msat + fees_msat < asked_msat:
        is_new = invoice.received_msat != received_msat
        LightningInvoice.update(received_msat=received_msat).where(LightningInvoice.id == invoice_id).execute()
        return Settlement(invoice, is_new, is_short=True)
    payment_id = _adopt(invoice) or _record(invoice)
    LightningInvoice.update(
        state=StoredState.PAID.value,
        watched=False,
        received_msat=received_msat,
        payment_id=payment_id,
        paid_at=datetime.now(timezone.utc),
    ).where(LightningInvoice.id == invoice_id).execute()
    return Settlement(get(invoice_id), is_new=True, is_short=False)


class Settlement(NamedTuple):
    """What `settle` found: the invoice, whether that was new, and whether less arrived than was asked."""

    invoice: StoredInvoice
    is_new: bool
    is_short: bool


def _record(invoice: StoredInvoice) -> UUID:
    try:
        payment_id = payments.add(
            method_id=methods.LIGHTNING_ID,
            currency_id=invoice.wanted.currency_id,
            transaction_id=str(invoice.payment_hash),
            amount=invoice.amount,
            caller=invoice.caller,
        )
    except TransactionIdTaken as error:
        # Somebody has just recorded it by hand: that payment is adopted the next time.
        raise RetryWrite(str(error)) from error
    _link(invoice, payment_id)
    return payment_id


def _adopt(invoice: StoredInvoice) -> UUID | None:
    """Return the payment that somebody has recorded for an invoice, None if nobody has.

    It gets the invoice's ticket if it has none. The transaction_id may be in upper case, as wallets show invoices.
    """
    texts = [text for text in (invoice.payment_hash, invoice.bolt11) if text]
    query = Payment.select(Payment.id).where(
        Payment.transaction_id.in_([*texts, *(text.upper() for text in texts)])
    )
    payment_id: UUID | None = query.order_by(Payment.id).limit(1).scalar()
    if payment_id is None or not payments.lock(payment_id):
        return None
    if not TicketPayment.select().where(TicketPayment.payment == payment_id).exists():
        _link(invoice, payment_id)
    return payment_id


def _link(invoice: StoredInvoice, payment_id: UUID) -> None:
    """Link a payment without tickets to the invoice's ticket, with the whole amount if it has that."""
    ticket_id = invoice.wanted.ticket_id
    if ticket_id is None:
        return
    payment = payments.read(payment_id)
    is_possible = (
        payment.currency_id == invoice.wanted.currency_id
        and payment.minor_units - payment.tip >= invoice.wanted.minor_units
    )
    share = invoice.amount if is_possible else None
    ticket_payments.link(payment_id, ticket_id, amount=share, caller=invoice.caller)


@write()
def stop_watching(invoice_id: UUID) -> None:
    """Do not ask the node about an invoice any more."""
    LightningInvoice.update(watched=False).where(LightningInvoice.id == invoice_id).execute()


def list_short() -> list[StoredInvoice]:
    """Return the invoices for which less arrived than was asked, in the order of making.

    Those are left out whose payment somebody has recorded by hand, under the payment hash.
    """
    recorded = Payment.select().where(Payment.transaction_id == LightningInvoice.payment_hash)
    is_short = (LightningInvoice.state != StoredState.PAID.value) & LightningInvoice.received_msat.is_null(False)
    condition = is_short & ~fn.EXISTS(recorded)
    query = LightningInvoice.select(*COLUMNS).join(Currency).where(condition).order_by(LightningInvoice.number)
    return [_from_row(row) for row in query.tuples()]


def iterate_pages(size: int, wanted: InvoiceFilter, after: int | None = None) -> Iterator[Page[dict[str, Any]]]:
    """Yield the invoices that match a filter, in the order of making, in pages of `size`; nothing if none match.

    `after` is the number of the last invoice to leave out, which only cursors show.
    """
    query = LightningInvoice.select(*COLUMNS).join(Currency).where(*_make_conditions(wanted))
    for rows, next_after in iterate_rows(query, LightningInvoice.number, size, after):
        yield Page([_from_row(row).show() for row in rows], next_after)


def _make_conditions(wanted: InvoiceFilter) -> list[Expression]:
    conditions = [LightningInvoice.state != StoredState.NEW.value]
    if wanted.ticket_id is not None:
        conditions.append(LightningInvoice.ticket_id == wanted.ticket_id)
    if wanted.paid_from is not None:
        # By itself, SQLite would look for them in the order of making, from the first invoice on.
        recent = LightningInvoice.alias()
        numbers = recent.select(recent.number).where(recent.paid_at >= wanted.paid_from)
        conditions.append(LightningInvoice.number.in_(numbers))
    if wanted.state is not None:
        conditions += _make_state_conditions(wanted.state)
    return conditions


def _make_state_conditions(state: State) -> list[Expression]:
    now = datetime.now(timezone.utc)
    is_open = LightningInvoice.state == StoredState.OPEN.value
    if state is State.OPEN:
        # Few are watched. Those that have expired stay open in the table.
        return [LightningInvoice.watched == True, is_open, LightningInvoice.expires_at > now]  # noqa: E712
    if state is State.EXPIRED:
        is_withdrawn = LightningInvoice.state == StoredState.WITHDRAWN.value
        return [is_withdrawn | (is_open & (LightningInvoice.expires_at <= now))]
    return [LightningInvoice.state == StoredState.PAID.value]
