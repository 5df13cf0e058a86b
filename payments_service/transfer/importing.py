"""Importing: what was read of another system is checked, reported and recorded, all or nothing."""
import itertools
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from ..backups import Progress
from ..database import current
from ..database.locks import is_open_elsewhere
from ..database.sqlite import Sqlite
from ..errors import Invalid, UnusableDatabase, UnusableFile
from ..money import MAX_MINOR_UNITS, format_amount
from ..schemas.fields import MAX_TICKET_ID_LENGTH, MAX_TRANSACTION_ID_BYTES, MAX_TRANSACTION_ID_LENGTH
from ..store import currencies, ids, imports, methods
from ..store.clock import TOLERANCE
from ..store.history import Caller
from ..store.imports import Known, NewPayment
from ..text import has_invisible_end, is_blank
from .report import Name, Outcome, Report
from .staging import RefundedPayment, Stage, StagedPayment, StagedRefund

# Ids that are no UUIDs become UUIDs of version 5 in this namespace, the same in each import.
UUID_TEXT = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
NAMESPACE = UUID("5b1d0c57-6d0a-4f0e-9f0c-0f2c1f7c4217")
# More are not methods but something else, in the wrong column.
MAX_NEW_METHODS = 100
# Payments that are checked and recorded at once.
BATCH = 500
# Rows between two reports of progress.
ROWS_PER_STEP = 10_000

BLANK_TRANSACTION_ID = "payments without a transaction id have their own id as such"
REPEATED_TRANSACTION_ID = "payments with the transaction id of an earlier one have their own id as such"
TAKEN_TRANSACTION_ID = "payments with the transaction id of another one here have their own id as such"
OTHERS_ID = "payments with another one's id as transaction id have their own id as such"
INVALID_TRANSACTION_ID = "payments with a transaction id that cannot be stored have their own id as such"


class Refused(ValueError):
    """A row cannot be recorded; the message says why."""


class FoundCurrency(NamedTuple):
    """A currency that is there, or that the import adds."""

    id: UUID
    acronym: str
    decimals: int


def make_id(kind: str, text: str) -> UUID:
    """Return the id of something whose id in the source is no UUID. It is the same in each import."""
    return uuid.uuid5(NAMESPACE, f"{kind} {text}")


@dataclass
class Catalogue:
    """The methods and currencies that there are, and those that the import may have to add."""

    methods: dict[UUID, str] = field(default_factory=dict)
    currencies: dict[UUID, FoundCurrency] = field(default_factory=dict)
    new_methods: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    new_currencies: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    # What was found by a name: a million lines have few.
    _named_methods: dict[tuple[str, UUID | None], UUID] = field(default_factory=dict)
    _named_currencies: dict[str, FoundCurrency] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.methods |= {method["id"]: method["name"] for method in methods.list_all()}
        self.currencies |= {found["id"]: FoundCurrency(**found) for found in currencies.list_all()}

    def find_method(self, name: str, source_id: UUID | None = None) -> UUID:
        """Return the id of a method by its own id, or by its name, in any case; it is new if there is none.

        Raises `Refused` for a name that no method can have.
        """
        key = name, source_id
        if key not in self._named_methods:
            self._named_methods[key] = self._find_method(name.strip(), source_id)
        return self._named_methods[key]

    def _find_method(self, name: str, source_id: UUID | None) -> UUID:
        if source_id in self.methods:
            return source_id
        same = [found for found, known in self.methods.items() if known == name]
        alike = [found for found, known in self.methods.items() if known.casefold() == name.casefold()]
        if same or len(alike) == 1:
            return (same or alike)[0]
        try:
            methods.check_name(name)
        except Invalid as error:
            raise Refused(f"the method {name!r} cannot be added: {error}") from None
        if not is_storable(name):
            raise Refused(f"the method {name!r} cannot be added")
        if len(self.new_methods) == MAX_NEW_METHODS:
            raise UnusableFile(f"more than {MAX_NEW_METHODS} methods are not here: see that they are methods")
        method_id = source_id or make_id("method", name)
        if method_id in self.methods:
            # An earlier import has added it, and somebody renamed it since.
            return method_id
        self.methods[method_id] = name
        self.new_methods[method_id] = {"id": method_id, "name": name, "cash": False}
        return method_id

    def find_currency(self, acronym: str) -> FoundCurrency:
        """Return a currency by its acronym; one of ISO 4217 is new if it is not there.

        Raises `Refused` for another one, and for one without a minor unit.
        """
        if acronym not in self._named_currencies:
            self._named_currencies[acronym] = self._find_currency(acronym.strip().upper())
        return self._named_currencies[acronym]

    def _find_currency(self, acronym: str) -> FoundCurrency:
        for found in self.currencies.values():
            if found.acronym == acronym:
                return found
        try:
            decimals = currencies.find_decimals(acronym)
        except Invalid as error:
            raise Refused(f"there is no currency {acronym!r} here. {error}") from None
        currency_id = ids.find_known_currency_id(acronym)
        if currency_id not in self.currencies:
            self.currencies[currency_id] = FoundCurrency(currency_id, acronym, decimals)
            self.new_currencies[currency_id] = self.currencies[currency_id]._asdict()
        return self.currencies[currency_id]

    def describe_new(self) -> Iterator[str]:
        """Yield what is added with the payments that have it."""
        for method in self.new_methods.values():
            yield f"the method {method['name']!r} is added, and its money is not counted as cash"
        for currency in self.new_currencies.values():
            yield f"the currency {currency['acronym']} is added, with {currency['decimals']} decimals"

    def name(self, payment: StagedPayment) -> Name:
        """Return the names of a payment's currency and method."""
        return Name(self.currencies[payment.currency_id].acronym, self.methods[payment.method_id])

    def to_amount(self, payment: StagedPayment) -> Decimal:
        """Return a payment's amount."""
        return Decimal(format_amount(payment.minor_units, self.currencies[payment.currency_id].decimals))


class Import(NamedTuple):
    """An import while its source is read."""

    stage: Stage
    catalogue: Catalogue
    report: Report
    progress: Progress

    def add(self, payment: StagedPayment) -> None:
        """Stage a payment of the source."""
        self.report.read(self.catalogue.name(payment), self.catalogue.to_amount(payment))
        self.stage.add(payment)

    def refuse(self, number: int, source_id: str, reason: str, name: Name, amount: Decimal | None) -> None:
        """Leave a payment of the source out."""
        self.report.read(name, amount)
        self.report.settle(Outcome.REFUSED, name, amount)
        self.report.refuse(number, source_id, reason)


def require_stopped_service() -> None:
    """Raise `UnusableDatabase` if another process has the SQLite database open. Call it before this one opens it."""
    database = current.obj
    if isinstance(database, Sqlite) and database.exists() and is_open_elsewhere(database.path):
        raise UnusableDatabase("the database is in use: stop the service first, or use --dry-run")


def run(
    read: Callable[[Import], None],
    report: Report,
    dry_run: bool,
    progress: Progress,
    list_refused: Callable[[], None],
) -> None:
    """Read a source, check it and record what can be recorded; `report` then says what was done.

    `list_refused` is called when everything is checked and nothing is written yet. Raises what `read` raises,
    `UnusableFile`, and `Conflict`.
    """
    with Stage() as stage:
        catalogue = Catalogue()
        this_import = Import(stage, catalogue, report, progress)
        read(this_import)
        stage.index()
        _settle_repeated(this_import)
        _compare_with_database(this_import)
        used = _settle_others(this_import)
        _settle_tickets(this_import)
        used |= _settle_refunds(this_import)
        report.flush()
        list_refused()
        if not dry_run:
            _record(this_import, used)


def _settle_repeated(this_import: Import) -> None:
    stage, catalogue, report, _ = this_import
    for payment in stage.find_repeated("id"):
        report.settle(Outcome.REFUSED, catalogue.name(payment), catalogue.to_amount(payment))
        report.refuse(payment.number, payment.source_id, "an earlier row has the same id")
    stage.remove_repeated()
    for payment in stage.find_repeated("transaction_id"):
        detail = payment.transaction_id or ""
        report.assume(REPEATED_TRANSACTION_ID, payment.number, payment.source_id, str(payment.id), detail)
    stage.drop_repeated()


def _compare_with_database(this_import: Import) -> None:
    """Settle the payments that are there, and those that cannot be recorded beside what is there."""
    stage, _, report, progress = this_import
    total, done = stage.count(), 0
    for batch in stage.iterate(BATCH):
        known = imports.find_known([payment.id for payment in batch])
        taken = _drop_taken(this_import, [payment for payment in batch if payment.id not in known])
        _refuse_taken(this_import, [payment for payment in batch if payment.id in taken])
        for payment in batch:
            if payment.id in known:
                _settle(this_import, payment, _compare(report, payment, known[payment.id]))
        done += len(batch)
        progress("Checking", done, total)
    # One whose transaction id is dropped has its own id, which a further one may have as transaction id.
    while others := stage.find_others_ids(BATCH):
        found = imports.find_taken([str(payment.id) for payment in others])
        _drop(this_import, [payment for payment in others if str(payment.id) not in found], OTHERS_ID)
        _refuse_taken(this_import, [payment for payment in others if str(payment.id) in found])


def _settle(this_import: Import, payment: StagedPayment, outcome: Outcome) -> None:
    stage, catalogue, report, _ = this_import
    report.settle(outcome, catalogue.name(payment), catalogue.to_amount(payment))
    if outcome != Outcome.RECORDED:
        stage.settle(payment.number, outcome)


def _settle_others(this_import: Import) -> set[UUID]:
    """Settle the payments that are left, which are recorded; return the ids of their methods and currencies."""
    used: set[UUID] = set()
    for payment in this_import.stage.read_others():
        _settle(this_import, payment, Outcome.RECORDED)
        used |= {payment.method_id, payment.currency_id}
    return used


def _drop_taken(this_import: Import, payments: Sequence[StagedPayment]) -> set[UUID]:
    """Drop the transaction ids of payments that are taken here.

    Return the ids of the payments that cannot even have their own id as such.
    """
    if not payments:
        return set()
    found = imports.find_taken([payment.transaction_id or str(payment.id) for payment in payments])
    dropped = [payment for payment in payments if payment.transaction_id in found]
    if dropped:
        found |= imports.find_taken([str(payment.id) for payment in dropped])
    lacking = [*dropped, *(payment for payment in payments if payment.transaction_id is None)]
    taken = {payment.id for payment in lacking if str(payment.id) in found}
    _drop(this_import, [payment for payment in dropped if payment.id not in taken], TAKEN_TRANSACTION_ID)
    return taken


def _drop(this_import: Import, payments: Sequence[StagedPayment], why: str) -> None:
    this_import.stage.drop_transaction_ids(payment.number for payment in payments)
    for payment in payments:
        detail = payment.transaction_id or ""
        this_import.report.assume(why, payment.number, payment.source_id, str(payment.id), detail)


def _refuse_taken(this_import: Import, payments: Sequence[StagedPayment]) -> None:
    for payment in payments:
        _settle(this_import, payment, Outcome.REFUSED)
        reason = "another payment here has its id as transaction id"
        this_import.report.refuse(payment.number, payment.source_id, reason)


def _compare(report: Report, payment: StagedPayment, stored: Known | None) -> Outcome:
    """Return what becomes of a payment by what is stored of it."""
    if stored is None:
        report.refuse(payment.number, payment.source_id, "it was deleted here")
        return Outcome.REFUSED
    values = payment.method_id, payment.currency_id, payment.minor_units, payment.tip, payment.created_at
    if stored != Known(*values):
        differing = [name for name, one, other in zip(Known._fields, stored, values) if one != other]
        named = ", ".join(name.removesuffix("_id").replace("minor_units", "amount") for name in differing)
        reason = f"a payment with this id is there, with another {named.replace('created_at', 'time')}"
        report.refuse(payment.number, payment.source_id, reason)
        return Outcome.REFUSED
    return Outcome.THERE


def _settle_tickets(this_import: Import) -> None:
    stage, _, report, _ = this_import
    for number, has_own_row, payment_id, ticket_id in stage.find_lost_tickets():
        report.links[Outcome.REFUSED] += 1
        reason = f"the payment of ticket {ticket_id!r} is not in the source, or was refused"
        report.refuse(f"{number} of the tickets" if has_own_row else number, str(UUID(payment_id)), reason)
    stage.remove_lost_tickets()
    for outcome, tickets in stage.count_tickets().items():
        report.links[Outcome(outcome)] += tickets


def _settle_refunds(this_import: Import) -> set[UUID]:
    """Refuse the refunds that cannot be recorded, and return the ids of the methods of the others."""
    stage, _, report, _ = this_import
    used: set[UUID] = set()
    payment_id, refunded, refused = None, 0, []
    refunds = stage.read_refunds()
    while batch := list(itertools.islice(refunds, BATCH)):
        # What a payment has that is there is not compared.
        new = [refund.id for refund, of in batch if of.outcome == Outcome.RECORDED]
        taken = imports.find_taken_refunds(new) if new else set()
        for refund, of in batch:
            refunded = refund.minor_units + (refunded if payment_id == refund.payment_id else 0)
            payment_id = refund.payment_id
            reason = _find_refund_fault(refund, of, refunded, refund.id in taken)
            if reason:
                report.refuse(refund.number, str(refund.id), f"the refund: {reason}")
                refused.append(refund.number)
                refunded -= refund.minor_units
            elif of.outcome == Outcome.RECORDED:
                used.add(refund.method_id)
            report.refunds[Outcome.REFUSED if reason else of.outcome or Outcome.REFUSED] += 1
    stage.remove_refunds(refused)
    return used


def _find_refund_fault(refund: StagedRefund, of: RefundedPayment, refunded: int, is_taken: bool) -> str | None:
    """Return why a refund cannot be recorded, None if it can.

    `refunded` is what it and those before add up to; `is_taken` says whether a refund of another payment has its id.
    """
    if of.outcome in (None, Outcome.REFUSED):
        return "its payment is not in the source, or was refused"
    if of.is_repeated:
        return "an earlier refund has the same id"
    if is_taken:
        return "a refund of another payment is there with this id"
    if refund.currency_id != of.currency_id:
        return "it has another currency than its payment"
    return "more is refunded than was paid" if refunded > of.minor_units else None


def _record(this_import: Import, used: set[UUID]) -> None:
    stage, catalogue, _, progress = this_import

    def read_batches() -> Iterator[list[NewPayment]]:
        total, done = stage.count(), 0
        for batch in stage.iterate(BATCH):
            tickets, refunds = stage.read_tickets(batch), stage.read_refunds_of(batch)
            yield [
                NewPayment(
                    payment.id,
                    payment.method_id,
                    payment.currency_id,
                    catalogue.currencies[payment.currency_id].decimals,
                    payment.transaction_id,
                    payment.minor_units,
                    payment.tip,
                    payment.created_at,
                    payment.user_id,
                    payment.source,
                    tickets.get(payment.id, []),
                    refunds.get(payment.id, []),
                )
                for payment in batch
            ]
            done += len(batch)
            progress("Recording", done, total)

    new_methods, new_currencies = (
        [new for new_id, new in found.items() if new_id in used]
        for found in (catalogue.new_methods, catalogue.new_currencies)
    )
    caller = Caller(None, f"import-{uuid.uuid4().hex}")
    imports.add(new_methods, new_currencies, read_batches, caller)


def check_transaction_id(text: str) -> str | None:
    """Return a transaction_id, None for one that is blank; raises `Refused` for one that cannot be stored."""
    if is_blank(text):
        return None
    too_long = len(text) > MAX_TRANSACTION_ID_LENGTH or len(text.encode(errors="replace")) > MAX_TRANSACTION_ID_BYTES
    if too_long or not is_storable(text):
        raise Refused("it cannot be stored")
    return text


def check_ticket_id(text: str) -> None:
    """Raise `Refused` for a ticket that cannot be stored."""
    if is_blank(text) or len(text) > MAX_TICKET_ID_LENGTH or not is_storable(text):
        raise Refused(f"the ticket {text[:MAX_TICKET_ID_LENGTH]!r} is no text that can be stored")


def is_storable(text: str) -> bool:
    """Tell whether both engines can store a text, and the service accepts its ends."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text and not has_invisible_end(text)


def check_moment(moment: datetime) -> datetime:
    """Return a time in UTC; raises `Refused` for one in the future."""
    moment = moment.astimezone(timezone.utc)
    if moment > datetime.now(timezone.utc) + TOLERANCE:
        raise Refused(f"its time is in the future: {moment:%Y-%m-%d %H:%M:%S} UTC")
    return moment


def check_minor_units(minor_units: int, decimals: int) -> int:
    """Return an amount in minor units; raises `Refused` for one that is negative or too large."""
    if minor_units < 0:
        raise Refused("the amount is negative")
    if minor_units > MAX_MINOR_UNITS:
        raise Refused(f"the amount is larger than {format_amount(MAX_MINOR_UNITS, decimals)}")
    return minor_units
