"""Verifying: whether each row is as the history makes it, and each closing as it was sealed."""
import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from peewee import JOIN, fn

from ..database import current
from ..models import (
    CashMovement, Closing, ClosingLine, Currency, History, LightningInvoice, OpenClosing, Payment, Posting, Refund,
    TicketPayment,
)
from . import archives, totals
from .archives import Header
from .history import Action
from .imports import ImportedPayment
from .payments import FIRST_VERSION, RecordedPayment
from .postings import Kind, join_halves, sum_halves
from .totals import Key, Line, Names, Totals

# Entries between two reports of progress.
ENTRIES_PER_STEP = 10_000
# What a value raises that no release has written, such as text in place of a time.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError)

Progress = Callable[[str, int, int], None]

to_time = History.at.python_value
# A time as the driver returns it: text on SQLite. What the service wrote twice is equal.
StoredTime = datetime | str


def find_faults(progress: Progress) -> Iterator[str]:
    """Yield what is wrong, each in one line that names the row; nothing if everything is as it was written.

    All is read as it is at the beginning; the service may go on meanwhile. The rows come first, because a closing's
    hash only says that one of its rows is another.
    """
    with current.snapshot():
        numbers = [number for (number,) in Closing.select(Closing.number).order_by(Closing.number).tuples()]
        steps = {
            "the closings": _check_chain(),
            "the history": _check_payments(progress),
            "the cash movements": _check_cash_movements(),
            "the postings": _check_postings(),
            "the Lightning invoices": _check_invoices(),
            "the totals": _check_totals(numbers, progress),
            "the archives": _check_archives(numbers, progress),
        }
        for name, faults in steps.items():
            yield from _report_unreadable(name, faults)


def find_faults_of_newest(count: int) -> Iterator[str]:
    """Yield what is wrong with the newest closings, as `find_faults` does, without replaying the history."""
    with current.snapshot():
        newest = Closing.select(Closing.number).order_by(Closing.number.desc()).limit(count)
        numbers = sorted(number for (number,) in newest.tuples())
        yield from _report_unreadable("the totals", _check_totals(numbers))
        yield from _report_unreadable("the archives", _check_archives(numbers))


def _ignore_progress(_step: str, _done: int, _total: int) -> None:
    """Report nothing."""


def _report_unreadable(name: str, faults: Iterator[str]) -> Iterator[str]:
    last = "the first row"
    try:
        for fault in faults:
            last = f"this: {fault}"
            yield fault
    except UNREADABLE as error:
        yield f"{name} cannot be read, after {last}: {type(error).__name__}: {error}"


def _check_chain() -> Iterator[str]:
    """Find a closing that is missing, or that does not follow the one before."""
    expected, previous = 1, None
    for number, previous_hash, sealed in current.stream(
        Closing.select(Closing.number, Closing.previous_hash, Closing.hash).order_by(Closing.number)
    ):
        if number != expected:
            yield f"closing {expected} is missing"
        elif previous_hash != previous:
            yield f"closing {number}: previous_hash is not the hash of closing {number - 1}"
        expected, previous = number + 1, sealed
    if (found := list(OpenClosing.select(OpenClosing.id, OpenClosing.number).tuples())) != [(1, expected)]:
        listed = ", ".join(str(number) for _, number in found) or "missing"
        yield f"open_closing: the number of the closing that is open is {listed}, and it should be {expected}"
    for table in (History, Posting, ClosingLine, CashMovement):
        if row := table.select(table.closing).where(table.closing > expected).tuples().first():
            yield f"{table._meta.table_name}: a row belongs to closing {row[0]}, which there is not yet"
    if lines := ClosingLine.select(ClosingLine.closing).where(ClosingLine.closing == expected).tuples().first():
        yield f"closing_line: a row belongs to closing {lines[0]}, which is open"


# Replaying the history.


class _Posted(NamedTuple):
    """A posting, without what it shares with its entry. Ids are text without hyphens, so that both engines sort them
    as Python does.
    """

    kind: str
    method_id: str
    currency_id: str
    minor_units: int
    tip: int = 0


class _Entry(NamedTuple):
    """An entry of the history and its postings."""

    id: int
    closing: int
    user_id: str | None
    at: StoredTime
    action: str
    before: str | None
    after: str | None
    postings: list[_Posted]
    # What is wrong with the postings' own columns.
    faults: list[str]


class _Link(msgspec.Struct, frozen=True):
    """A link as the history shows it."""

    payment_id: str
    ticket_id: str
    share: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Refund(msgspec.Struct, frozen=True):
    """A refund as the history shows it."""

    id: str
    payment_id: str
    method_id: str
    currency_id: str
    amount: msgspec.Raw
    reason: str | None
    transaction_id: str | None
    ticket_id: str | None


class _Movement(msgspec.Struct, frozen=True):
    """A cash movement as the history shows it."""

    id: str
    kind: str
    method_id: str
    currency_id: str
    amount: msgspec.Raw
    reason: str


_decode_payment = msgspec.json.Decoder(RecordedPayment).decode
_decode_imported = msgspec.json.Decoder(ImportedPayment).decode
_decode_link = msgspec.json.Decoder(_Link).decode
_decode_refund = msgspec.json.Decoder(_Refund).decode
_decode_movement = msgspec.json.Decoder(_Movement).decode


class _Stored(NamedTuple):
    """A row of the table of payments."""

    method_id: str
    currency_id: str
    transaction_id: str
    minor_units: int
    version: int
    created_at: StoredTime
    changed_at: StoredTime
    tip_units: int
    refunded_units: int
    allocated_units: int


class _StoredLink(NamedTuple):
    """A link as its row or the history has it."""

    # None if not known.
    linked_at: datetime | None
    share: int | None


class _StoredRefund(NamedTuple):
    """A refund as its row or the history has it."""

    id: str
    method_id: str
    minor_units: int
    reason: str | None
    transaction_id: str | None
    ticket_id: str | None
    user_id: str | None
    at: StoredTime
    closing: int


def _check_payments(progress: Progress) -> Iterator[str]:
    """Replay the history of each payment, and compare it with its row, links, refunds and postings."""
    decimals = {currency.id.hex: currency.decimals for currency in Currency.select()}
    payments = Payment.select(
        Payment.id.cast("text"), Payment.method.cast("text"), Payment.currency.cast("text"), Payment.transaction_id,
        Payment.minor_units, Payment.version, Payment.created_at, Payment.changed_at, Payment.tip_units,
        Payment.refunded_units, Payment.allocated_units,
    )
    links = TicketPayment.select(
        TicketPayment.payment.cast("text"), TicketPayment.ticket_id, TicketPayment.linked_at, TicketPayment.share_units
    )
    refunds = Refund.select(
        Refund.payment.cast("text"), Refund.id.cast("text"), Refund.method.cast("text"), Refund.minor_units,
        Refund.reason, Refund.transaction_id, Refund.ticket_id, Refund.user_id, Refund.at, Refund.closing,
    )
    entries = _read_entries(History.payment_id.is_null(False), progress)
    streams = _align(
        _group((payment_id, entry) for payment_id, entry in entries),
        _group(_read_payment(row) for row in current.stream(payments.order_by(Payment.id))),
        _group(
            (_strip(payment_id), (ticket_id, _StoredLink(to_time(linked_at), share)))
            for payment_id, ticket_id, linked_at, share in current.stream(links.order_by(TicketPayment.payment))
        ),
        _group(
            (_strip(payment_id), _StoredRefund(_strip(refund_id), _strip_repeated(method_id), *others))
            for payment_id, refund_id, method_id, *others in current.stream(refunds.order_by(Refund.payment, Refund.id))
        ),
    )
    for payment_id, (found_entries, rows, found_links, found_refunds) in streams:
        replay = _Replay(payment_id, decimals)
        for entry in found_entries:
            yield from replay.apply(entry)
        yield from replay.compare(rows[0] if rows else None, dict(found_links))
        yield from replay.compare_refunds(found_refunds)


def _read_payment(row: tuple[Any, ...]) -> tuple[str, _Stored]:
    payment_id, method_id, currency_id, *others = row
    return _strip(payment_id), _Stored(_strip_repeated(method_id), _strip_repeated(currency_id), *others)


def _read_entries(condition: Any, progress: Progress) -> Iterator[tuple[str, _Entry]]:
    """Yield entries in the order of their payments and ids, each after its payment's id, "" for a cash movement."""
    query = (
        History.select(
            History.payment_id.cast("text"), History.id, History.closing, History.user_id, History.at, History.action,
            History.before, History.after, Posting.kind, Posting.method.cast("text"), Posting.currency.cast("text"),
            Posting.minor_units, Posting.tip_units, Posting.closing, Posting.user_id,
        )
        .join(Posting, JOIN.LEFT_OUTER, on=(Posting.history_id == History.id))
        .where(condition)
        .order_by(History.payment_id, History.id)
    )
    total = History.select().where(condition).count()
    done, entry = 0, None
    for row in current.stream(query):
        payment_id, entry_id, closing, user_id, at, action, before, after, kind, *posting = row
        if entry is None or entry[1].id != entry_id:
            if entry:
                yield entry
            entry = _strip(payment_id or ""), _Entry(entry_id, closing, user_id, at, action, before, after, [], [])
            done += 1
            if done % ENTRIES_PER_STEP == 0:
                progress("Replaying the history", done, total)
        if kind is not None:
            method_id, currency_id, minor_units, tip, posted_closing, posted_by = posting
            key = _strip_repeated(method_id), _strip_repeated(currency_id)
            entry[1].postings.append(_Posted(kind, *key, minor_units, tip))
            if (posted_closing, posted_by) != (closing, user_id):
                entry[1].faults.append("a posting has another closing or user")
    if entry:
        yield entry
    progress("Replaying the history", total, total)


def _group(rows: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the values of equal keys that follow each other."""
    key: str | None = None
    values: list[Any] = []
    for found, value in rows:
        if found != key:
            if key is not None:
                yield key, values
            key, values = found, []
        values.append(value)
    if key is not None:
        yield key, values


def _align(*streams: Iterator[tuple[str, list[Any]]]) -> Iterator[tuple[str, list[list[Any]]]]:
    """Yield each key of streams that are in the order of keys, with the values in each stream."""
    heads = [next(stream, None) for stream in streams]
    while keys := [head[0] for head in heads if head]:
        key = min(keys)
        yield key, [head[1] if head and head[0] == key else [] for head in heads]
        heads = [
            next(stream, None) if head and head[0] == key else head for stream, head in zip(streams, heads)
        ]


def _strip(uuid: str) -> str:
    """Return an id without the hyphens that PostgreSQL writes."""
    return uuid.replace("-", "")


# For the ids of methods and currencies: there are few.
_strip_repeated = functools.lru_cache(maxsize=1000)(_strip)


@dataclass
class _Replay:
    """What the history says that a payment is."""

    payment_id: str
    decimals: dict[str, int]
    # None before the first known state, and after the deletion.
    shown: RecordedPayment | None = None
    # A payment from before there was a history has no entry `created`.
    is_complete: bool = False
    is_deleted: bool = False
    entries: int = 0
    changes: int = 0
    # None if not known.
    created_at: StoredTime | None = None
    changed_at: StoredTime | None = None
    links: dict[str, _StoredLink] = field(default_factory=dict)
    refunds: dict[str, _StoredRefund] = field(default_factory=dict)

    def apply(self, entry: _Entry) -> Iterator[str]:
        """Apply the next entry; yield what is wrong with it."""
        where = f"history entry {entry.id} of payment {self.payment_id}"
        if self.is_deleted:
            yield f"{where}: the payment was deleted before"
        before, after = self._decode(entry)
        made: list[_Posted] = []
        # Entries of earlier releases have no closing.
        at = entry.at if entry.closing else None
        match entry.action:
            case Action.CREATED:
                if self.entries:
                    yield f"{where}: the payment was created before"
                self.is_complete, self.created_at, self.changed_at = True, at, at
            case Action.IMPORTED:
                if self.entries:
                    yield f"{where}: the payment was there before"
                self._apply_import(entry)
            case Action.CHANGED | Action.DELETED:
                if self.shown and before != self.shown:
                    yield f"{where}: before is not what the entry before it left"
                self.changes += 1
                self.changed_at = at
                self.is_deleted = entry.action == Action.DELETED
                if self.is_deleted and (self.links or self.refunds):
                    yield f"{where}: the payment was deleted while it had tickets or refunds"
            case Action.LINKED | Action.UNLINKED:
                yield from self._apply_link(entry, where)
            case Action.REFUNDED | Action.REFUND_DELETED:
                self.changes += 1
                self.changed_at = at
                made = yield from self._apply_refund(entry, where)
            case _:
                yield f"{where}: no release has the action {entry.action!r}"
        if isinstance(before, RecordedPayment) or isinstance(after, RecordedPayment):
            self.shown = after
            if any(shown and _strip(shown.id) != self.payment_id for shown in (before, after)):
                yield f"{where}: it tells of another payment"
        self.entries += 1
        yield from (f"{where}: {fault}" for fault in entry.faults)
        # What was posted before there were closings is in the postings `carried`.
        is_carried = not entry.closing or entry.action == Action.IMPORTED
        expected = [] if is_carried else (made or self._list_postings(before, after))
        if sorted(entry.postings) != expected:
            yield f"{where}: its postings are {entry.postings or 'missing'}, and it makes {expected or 'none'}"

    def _decode(self, entry: _Entry) -> tuple[RecordedPayment | None, RecordedPayment | None]:
        if entry.action not in (Action.CREATED, Action.CHANGED, Action.DELETED, Action.IMPORTED):
            return None, None
        return (
            None if entry.before is None else _decode_payment(entry.before),
            None if entry.after is None else _decode_payment(entry.after),
        )

    def _apply_import(self, entry: _Entry) -> None:
        imported = _decode_imported(entry.after or "")
        created_at = datetime.fromisoformat(imported.created_at)
        # As the driver returns it.
        stored = archives.format_time(created_at) if isinstance(entry.at, str) else created_at
        self.is_complete, self.created_at, self.changed_at = True, stored, stored
        for place, ticket in enumerate(imported.tickets or []):
            share = _read_minor_units(ticket.share) if isinstance(ticket.share, msgspec.Raw) else None
            self.links[ticket.ticket_id] = _StoredLink(created_at + place * timedelta.resolution, share)

        for refund in imported.refunds or []:
            made_at = datetime.fromisoformat(refund.at)
            refund_id = _strip(refund.id)
            self.refunds[refund_id] = _StoredRefund(
                refund_id,
                _strip(refund.method_id),
                _read_minor_units(refund.amount),
                refund.reason,
                refund.transaction_id,
                refund.ticket_id,
                refund.user_id,
                archives.format_time(made_at) if isinstance(entry.at, str) else made_at,
                entry.closing,
            )

    def _apply_link(self, entry: _Entry, where: str) -> Iterator[str]:
        link = _decode_link(entry.after or entry.before or "")
        if _strip(link.payment_id) != self.payment_id:
            yield f"{where}: it tells of another payment"
        share = _read_minor_units(link.share) if isinstance(link.share, msgspec.Raw) else None
        if entry.action == Action.UNLINKED:
            linked = self.links.pop(link.ticket_id, None)
            if linked is None and self.is_complete:
                yield f"{where}: the ticket {link.ticket_id!r} was not linked"
            # A link from before there was a history has no share.
            elif share != (linked.share if linked else None):
                yield f"{where}: its share is not that of the link"
            return
        if link.ticket_id in self.links:
            yield f"{where}: the ticket {link.ticket_id!r} was linked before"
        known = [linked.linked_at for linked in self.links.values() if linked.linked_at]
        is_known = entry.closing and self.is_complete and len(known) == len(self.links)
        # As links are made: each later than those that there are.
        later = max([to_time(entry.at), *(linked_at + timedelta.resolution for linked_at in known)])
        self.links[link.ticket_id] = _StoredLink(later if is_known else None, share)

    def _apply_refund(self, entry: _Entry, where: str) -> Generator[str, None, list[_Posted]]:
        """Apply a refund or its deletion; yield what is wrong with it, and return the postings that it makes."""
        shown = _decode_refund(entry.after or entry.before or "")
        minor_units = _read_minor_units(shown.amount)
        method_id, currency_id = _strip(shown.method_id), _strip(shown.currency_id)
        refund = _StoredRefund(
            _strip(shown.id), method_id, minor_units, shown.reason, shown.transaction_id, shown.ticket_id,
            entry.user_id, entry.at, entry.closing,
        )
        if _strip(shown.payment_id) != self.payment_id:
            yield f"{where}: it tells of another payment"
        if self.shown and _strip(self.shown.currency_id) != currency_id:
            yield f"{where}: the refund has another currency than the payment"
        if entry.action == Action.REFUNDED:
            if refund.id in self.refunds:
                yield f"{where}: the refund was made before"
            self.refunds[refund.id] = refund
            return [_Posted(Kind.REFUND.value, method_id, currency_id, -minor_units)]
        made = self.refunds.pop(refund.id, None)
        # Another user may delete it, later.
        if made is None or made[:6] != refund[:6]:
            yield f"{where}: it deletes another refund than was made"
        return [_Posted(Kind.CORRECTION.value, method_id, currency_id, minor_units)]

    def _list_postings(self, before: RecordedPayment | None, after: RecordedPayment | None) -> list[_Posted]:
        """Return the postings that a change of the payment makes, in order."""
        if before is None:
            return [] if after is None else [self._post(Kind.PAYMENT, after, 1)]
        if after is None:
            return [self._post(Kind.CORRECTION, before, -1)]
        sums: dict[tuple[str, str, str], tuple[int, int]] = {}
        for posted in (self._post(Kind.CORRECTION, before, -1), self._post(Kind.CORRECTION, after, 1)):
            minor_units, tip = sums.get(posted[:3], (0, 0))
            sums[posted[:3]] = minor_units + posted.minor_units, tip + posted.tip
        return sorted(_Posted(*key, *amounts) for key, amounts in sums.items() if any(amounts))

    def _post(self, kind: Kind, shown: RecordedPayment, sign: int) -> _Posted:
        currency_id = _strip_repeated(shown.currency_id)
        decimals = self.decimals[currency_id]
        minor_units = sign * _to_minor_units(shown.amount, decimals)
        tip = sign * _to_minor_units(shown.tip, decimals) if isinstance(shown.tip, msgspec.Raw) else 0
        return _Posted(kind.value, _strip_repeated(shown.method_id), currency_id, minor_units, tip)

    def compare(self, row: _Stored | None, links: dict[str, _StoredLink]) -> Iterator[str]:
        """Yield how the payment's row and its links differ from what the history says."""
        where = f"payment {self.payment_id}"
        if row is None:
            # Somebody has to have deleted the row of a payment whose links are there.
            if not self.is_deleted:
                yield f"{where}: its row is missing"
        elif self.is_deleted:
            yield f"{where}: its row is there, and its history says that it was deleted"
        else:
            yield from (f"{where}: {fault}" for fault in self._compare_row(row))
        yield from (f"{where}: {fault}" for fault in self._compare_links(links))

    def _compare_links(self, links: dict[str, _StoredLink]) -> Iterator[str]:
        for ticket_id, made in self.links.items():
            found = links.get(ticket_id)
            if found is None:
                yield f"its link to the ticket {ticket_id!r} is missing"
                continue
            if made.linked_at and found.linked_at != made.linked_at:
                yield f"linked_at of its ticket {ticket_id!r} is {found.linked_at}, and should be {made.linked_at}"
            if found.share != made.share:
                yield f"share_units of its ticket {ticket_id!r} is {found.share}, and its history says {made.share}"
        for ticket_id, found in links.items():
            if ticket_id not in self.links and (self.is_complete or found.share is not None):
                yield f"no entry of the history links the ticket {ticket_id!r}"

    def compare_refunds(self, rows: Iterable[_StoredRefund]) -> Iterator[str]:
        """Yield how the rows of the payment's refunds differ from what the history says."""
        made = dict(self.refunds)
        for row in rows:
            expected = made.pop(row.id, None)
            if expected is None:
                yield f"refund {row.id}: no entry of the history makes it"
            elif expected != row:
                for name, value, stored in zip(row._fields, expected, row):
                    if value != stored:
                        yield f"refund {row.id}: {name} is {stored}, and its history says {value}"
        for refund_id in made:
            yield f"refund {refund_id}: its row is missing"

    def _compare_row(self, row: _Stored) -> Iterator[str]:
        known: dict[str, Any] = {
            "version": FIRST_VERSION + self.changes,
            "tip_units": 0,
            "refunded_units": sum(refund.minor_units for refund in self.refunds.values()),
            "allocated_units": sum(link.share or 0 for link in self.links.values()),
        }
        if self.created_at:
            known["created_at"] = self.created_at
        if self.changed_at:
            known["changed_at"] = self.changed_at
        if self.shown:
            posted = self._post(Kind.PAYMENT, self.shown, 1)
            known |= posted._asdict() | {"transaction_id": self.shown.transaction_id}
            known["tip_units"] = known.pop("tip")
            del known["kind"]
        expected = row._replace(**known)
        if expected != row:
            for name, value, stored in zip(row._fields, expected, row):
                if value != stored:
                    yield f"{name} is {stored}, and its history says {value}"


def _to_minor_units(amount: msgspec.Raw, decimals: int) -> int:
    """Return an amount in minor units; raises ValueError unless it has exactly that many decimals."""
    whole, _, fraction = bytes(amount).decode().partition(".")
    if len(fraction) != decimals:
        raise ValueError(f"the amount {whole}.{fraction} has not {decimals} decimals")
    return int(whole + fraction)


def _read_minor_units(amount: msgspec.Raw) -> int:
    """Return an amount that has exactly its currency's decimals in minor units, whatever currency that is."""
    return int(bytes(amount).replace(b".", b""))


def _check_cash_movements() -> Iterator[str]:
    """Compare each cash movement with its entry in the history, and that with its posting."""
    decimals = {currency.id.hex: currency.decimals for currency in Currency.select()}
    # There are few: somebody carries money for each.
    found = {movement.id.hex: movement for movement in CashMovement.select()}
    for _, entry in _read_entries(History.payment_id.is_null(), _ignore_progress):
        where = f"history entry {entry.id}"
        yield from (f"{where}: {fault}" for fault in entry.faults)
        if entry.action not in (Action.PAID_IN, Action.PAID_OUT):
            yield f"{where}: no release has the action {entry.action!r} without a payment"
            continue
        shown = _decode_movement(entry.after or "")
        movement = found.pop(_strip(shown.id), None)
        if movement is None:
            yield f"cash movement {shown.id}: its row is missing"
            continue
        minor_units = _to_minor_units(shown.amount, decimals[_strip(shown.currency_id)])
        expected: dict[str, Any] = {
            "kind": shown.kind,
            "method_id": _strip(shown.method_id),
            "currency_id": _strip(shown.currency_id),
            "minor_units": minor_units,
            "reason": shown.reason,
            "user_id": entry.user_id,
            "at": to_time(entry.at),
            "closing": entry.closing,
        }
        stored = {name: getattr(movement, name) for name in expected}
        stored |= {name: stored[name].hex for name in ("method_id", "currency_id")}
        for name, value in expected.items():
            if stored[name] != value:
                yield f"cash movement {shown.id}: {name} is {stored[name]}, and its history says {value}"
        signed = minor_units if shown.kind == Kind.PAID_IN else -minor_units
        posted = _Posted(entry.action, expected["method_id"], expected["currency_id"], signed)
        if shown.kind != entry.action or entry.postings != [posted]:
            yield f"{where}: its postings are {entry.postings or 'missing'}, and it makes {[posted]}"
    for movement_id in found:
        yield f"cash movement {movement_id}: no entry of the history makes it"


def _check_invoices() -> Iterator[str]:
    """Find Lightning invoices that count as paid by a payment that was never recorded."""
    has_history = fn.EXISTS(History.select(History.id).where(History.payment_id == LightningInvoice.payment_id))
    # A payment that is older than the history has an entry only once it was changed.
    exists = fn.EXISTS(Payment.select(Payment.id).where(Payment.id == LightningInvoice.payment_id))
    query = LightningInvoice.select(LightningInvoice.id, LightningInvoice.payment_id)
    paid = query.where(LightningInvoice.payment_id.is_null(False), ~has_history, ~exists)
    for invoice_id, payment_id in current.stream(paid.order_by(LightningInvoice.number)):
        yield f"Lightning invoice {UUID(str(invoice_id))}: no entry of the history makes its payment {payment_id}"


def _check_postings() -> Iterator[str]:
    """Find postings without an entry, and compare what all postings add up to with the payments."""
    orphans = Posting.select(Posting.id).join(History, JOIN.LEFT_OUTER, on=(History.id == Posting.history_id))
    orphan = orphans.where(History.id.is_null() & (Posting.kind != Kind.CARRIED.value)).order_by(Posting.id)
    for (posting_id,) in orphan.limit(1).tuples():
        yield f"posting {posting_id}: its entry of the history is missing"
    kinds = [kind.value for kind in (Kind.PAYMENT, Kind.CORRECTION, Kind.REFUND, Kind.CARRIED)]
    posted: dict[Key, tuple[int, int]] = {}
    for _, found in totals.sum_postings(Posting.kind.in_(kinds)):
        minor_units, tip = posted.get(found.key, (0, 0))
        posted[found.key] = minor_units + found.minor_units, tip + found.tip_units
    sums = _sum_payments()
    for key in sorted(sums.keys() | posted.keys()):
        paid, in_postings = sums.get(key, (0, 0)), posted.get(key, (0, 0))
        where = f"by method {key.method_id} in currency {key.currency_id}"
        for name, one, other in zip(("payments less refunds", "tips"), paid, in_postings):
            if one != other:
                yield f"the {name} {where} add up to {one} minor units, and their postings to {other}"


def _sum_payments() -> dict[Key, tuple[int, int]]:
    """Return what payments less refunds add up to by method and currency, and their tips."""
    sums: dict[Key, tuple[int, int]] = {}
    halves = [*sum_halves(Payment.minor_units), *sum_halves(Payment.tip_units)]
    paid = Payment.select(Payment.method, Payment.currency, *halves).group_by(Payment.method, Payment.currency)
    for method_id, currency_id, high, low, high_tip, low_tip in paid.tuples():
        sums[Key(method_id, currency_id)] = join_halves(high, low), join_halves(high_tip, low_tip)
    refunded = Refund.select(Refund.method, Payment.currency, *sum_halves(Refund.minor_units)).join(Payment)
    for method_id, currency_id, high, low in refunded.group_by(Refund.method, Payment.currency).tuples():
        minor_units, tip = sums.get(Key(method_id, currency_id), (0, 0))
        sums[Key(method_id, currency_id)] = minor_units - join_halves(high, low), tip
    return sums


# Closings.


def _check_totals(numbers: list[int], progress: Progress = _ignore_progress) -> Iterator[str]:
    """Compare the totals of closings with what their postings add up to."""
    names = Names()
    for done, number in enumerate(numbers, 1):
        stored = totals.read_closed([number])[number]
        made = totals.read_open(number)
        for key in sorted(stored.lines.keys() | made.lines.keys()):
            where = f"closing_line of closing {number}, method {key.method_id}, currency {key.currency_id}"
            for fault in _compare_line(stored.lines.get(key), made.lines.get(key), names.make_line(key)):
                yield f"{where}: {fault}"
        yield from _compare_users(number, stored, made)
        columns = ClosingLine.method, ClosingLine.currency, ClosingLine.expected
        for method_id, currency_id, expected in ClosingLine.select(*columns).where(
            ClosingLine.closing == number
        ).tuples():
            if stored.lines[Key(method_id, currency_id)].expected != expected:
                yield f"closing_line of closing {number}, method {method_id}, currency {currency_id}: expected is wrong"
        progress("Adding up the closings", done, len(numbers))


def _compare_line(stored: Line | None, made: Line | None, empty: Line) -> Iterator[str]:
    if stored is None:
        yield "it is missing"
        return
    if made is None and stored.counted is None:
        yield "no posting makes it"
    # Names may change later.
    chosen = {"method_name", "currency_acronym", "counted", "remaining"}
    for name, value in asdict(made or empty).items():
        if name not in chosen and getattr(stored, name) != value:
            yield f"{name} is {getattr(stored, name)}, and should be {value}"
    if stored.counted is None or not stored.cash:
        remaining = stored.expected if stored.cash else 0
        if stored.remaining != remaining:
            yield f"remaining is {stored.remaining}, and should be {remaining}"


def _compare_users(number: int, stored: Totals, made: Totals) -> Iterator[str]:
    if stored.users != made.users:
        first = next(
            (user for user in [*made.users, *stored.users] if user not in stored.users or user not in made.users),
            "the order",
        )
        yield f"closing_user of closing {number}: what the users took differs from their postings: {first}"


def _check_archives(numbers: list[int], progress: Progress = _ignore_progress) -> Iterator[str]:
    """Rebuild the archives of closings, and compare their hashes."""
    step = "Hashing the archives"
    total = sum(table.select().where(table.closing.in_(numbers)).count() for table in (History, Posting))
    columns = [getattr(Closing, name) for name in Header._fields]
    done = itertools.count(1)

    def count(lines: Iterable[bytes]) -> Iterator[bytes]:
        for line, position in zip(lines, done):
            if position % ENTRIES_PER_STEP == 0:
                progress(step, min(position, total), total)
            yield line

    for number in numbers:
        *header, sealed = Closing.select(*columns, Closing.hash).where(Closing.number == number).tuples().first()
        if archives.hash_lines(count(archives.write_archive(Header(*header)))) != sealed:
            yield f"closing {number}: one of its rows was changed or deleted: its archive does not have its hash"
    progress(step, total, total)
