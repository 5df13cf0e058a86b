"""Lists of payments, page by page."""
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from peewee import JOIN, Select, Value, fn

from ..codec import exact_number
from ..database import current, placeholder, prepared
from ..models import Currency, Payment, TicketPayment
from ..money import format_amount
from .pages import Page
from .payments import format_repeated_uuid

# The first and last id of a time span with more payments are searched for once, and not again for each page.
MAX_PAYMENTS_TO_SEARCH = 20_000
# They take a megabyte.
MAX_CACHED_AMOUNTS = 4000


# What a list needs of each payment.
COLUMNS = [
    Payment.id, Payment.method.cast("text"), Payment.currency.cast("text"), Payment.transaction_id, Payment.minor_units,
    Currency.decimals, Payment.tip_units,
]
# The values of COLUMNS, and the share of a link, None if nobody said so. Ids of methods and currencies are as stored.
Row = tuple[UUID, str, str, str, int, int, int, int | None]
_decode_rows = msgspec.json.Decoder(list[Row]).decode


class ListedPayment(msgspec.Struct, frozen=True, gc=False):
    """A payment in a list, with the fields of a RecordedPayment.

    It refers to nothing that refers to it: without `gc=False`, the garbage collector looks at each payment of a list,
    which takes a fifth of the time to make them. msgspec reads and writes the id as a UUID: with the text of each id
    made in Python, a list takes 1.1 times as long.
    """

    id: UUID
    method_id: str
    currency_id: str
    transaction_id: str
    amount: msgspec.Raw
    tip: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class PaymentFilter:
    """Which payments to list: those that match everything that is not None."""

    transaction_id: str | None = None
    method_id: UUID | None = None
    currency_id: UUID | None = None
    ticket_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


def iterate_pages(size: int, wanted: PaymentFilter, after: UUID | None = None) -> Iterator[Page[ListedPayment]]:
    """Yield the payments that match a filter, in the order of their ids, in pages of `size`; nothing if none match.

    Each page is read when it is asked for, and no transaction is open in between. A payment that exists throughout is
    in exactly one page, whatever is written meanwhile. `after` is the last id to leave out; it need not exist.
    """
    for rows, has_more in iterate_rows(size, wanted, after):
        # Written out, because a call for each payment takes a twentieth of the time of the list.
        payments = [
            ListedPayment(
                payment_id,
                format_repeated_uuid(method_id),
                format_repeated_uuid(currency_id),
                transaction_id,
                _show_amount(minor_units, decimals),
                _show_amount(tip_units, decimals) if tip_units else msgspec.UNSET,
            )
            for payment_id, method_id, currency_id, transaction_id, minor_units, decimals, tip_units, _share in rows
        ]
        yield Page(payments, str(payments[-1].id) if has_more else None)


@functools.lru_cache(maxsize=MAX_CACHED_AMOUNTS)
def _show_amount(minor_units: int, decimals: int) -> msgspec.Raw:
    """Return an amount as JSON with exactly that many decimals.

    Cached, because prices repeat, and whoever reads a list has often read most of it before: a list of 1,000 takes 0.9
    of the time.
    """
    return exact_number(format_amount(minor_units, decimals))


def iterate_rows(size: int, wanted: PaymentFilter, after: UUID | None) -> Iterator[tuple[list[Row], bool]]:
    """Yield rows as `iterate_pages` does, and whether there are more. With a ticket, they have the link's share."""
    values: dict[str, Any] = {name: value for name, value in vars(wanted).items() if value is not None}
    span = frozenset(values) & {"created_from", "created_to"}
    if after:
        values["after"] = after
    if span and wanted.ticket_id is None and wanted.transaction_id is None:
        ends = _find_first_and_last_id(span, values, MAX_PAYMENTS_TO_SEARCH if after else None)
        if ends:
            first, values["last"] = ends
            values |= {} if after else {"first": first}
    has_more = True
    while has_more:
        rows = current.read_rows(_page(frozenset(values)).execute(**values, rows=size + 1), _decode_rows)
        rows.sort(key=lambda row: row[0].int)
        has_more = len(rows) > size
        if rows:
            yield rows[:size], has_more
            values.pop("first", None)
            values["after"] = rows[:size][-1][0]


# The conditions of a list, each with a placeholder of its name.
CONDITIONS = {
    "transaction_id": Payment.transaction_id == placeholder(Payment.transaction_id),
    "method_id": Payment.method == placeholder(Payment.method),
    "currency_id": Payment.currency == placeholder(Payment.currency),
    "ticket_id": TicketPayment.ticket_id == placeholder(TicketPayment.ticket_id),
    "created_from": Payment.created_at >= placeholder(Payment.created_at, "created_from"),
    "created_to": Payment.created_at < placeholder(Payment.created_at, "created_to"),
    "first": Payment.id >= placeholder(Payment.id, "first"),
    "last": Payment.id <= placeholder(Payment.id, "last"),
    "after": Payment.id > placeholder(Payment.id, "after"),
}


@functools.cache
def _page(names: frozenset[str]) -> prepared:
    """Return the query for a page of payments that meet these conditions.

    Prepared, because Peewee takes 0.2 ms or more to write it: a quarter of a ticket's payments.
    """
    share = TicketPayment.share_units if "ticket_id" in names else Value(None).cast("bigint")
    conditions = [condition for name, condition in CONDITIONS.items() if name in names]

    def build() -> Select:
        query, order = Payment.select(), Payment.id
        if "ticket_id" in names:
            # CROSS makes SQLite start from the links. A page starts after an id in both columns: with a condition on
            # only one of them, PostgreSQL reads a large ticket's payments from the beginning for each page.
            query, order = TicketPayment.select().join(Payment, JOIN.CROSS), TicketPayment.payment
            conditions.append(TicketPayment.payment == Payment.id)
            if "after" in names:
                conditions.append(TicketPayment.payment > placeholder(Payment.id, "after"))
        # LEFT: a payment whose currency is missing is a fault, and must not be left out silently.
        query = query.join_from(Payment, Currency, JOIN.LEFT_OUTER).order_by(order)
        query = query.where(*conditions) if conditions else query
        found: Select = current.select_rows(query.limit(placeholder(Payment.version, "rows")), [*COLUMNS, share])
        return found

    return prepared(build)


def _find_first_and_last_id(
    span: frozenset[str], values: Mapping[str, Any], limit: int | None
) -> tuple[str | None, str | None] | None:
    """Return the first and the last id of a time span, or None if it has more than `limit` payments.

    The index on the time is enough to find both: no payment is read. They need not be the ids of the earliest and the
    latest payment: an id that was made by hand in the database has no relation to the time.
    """
    ends = _ends(span, limit is not None).first_tuple(**values, rows=(limit or 0) + 1)
    count, first, last = ends or (0, None, None)
    return (first, last) if limit is None or count <= limit else None


@functools.cache
def _ends(span: frozenset[str], is_limited: bool) -> prepared:
    """Return the query for the number of payments in a time span, up to a limit, and their first and last id."""

    def build() -> Select:
        # PostgreSQL before 18 has no MIN of a UUID. Its text has to sort as it does itself, whatever the collation.
        text = current.sort_by_bytes(Payment.id.cast("text"))
        found = Payment.select(text.alias("id")).where(*(CONDITIONS[name] for name in sorted(span))).alias("found")
        if is_limited:
            found = found.limit(placeholder(Payment.version, "rows"))
        return Select([found], [fn.COUNT(found.c.id), fn.MIN(found.c.id), fn.MAX(found.c.id)])

    return prepared(build)
