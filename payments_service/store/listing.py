"""Lists of payments, page by page."""
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from peewee import JOIN, ColumnBase, Expression, Select, fn

from ..database import current
from ..models import Currency, Payment, TicketPayment
from .pages import Page
from .payments import COLUMNS, RecordedPayment

# The first and last id of a time span with more payments are searched for once, and not again for each page.
MAX_PAYMENTS_TO_SEARCH = 20_000


@dataclass(frozen=True)
class PaymentFilter:
    """Which payments to list: those that match everything that is not None."""

    transaction_id: str | None = None
    method_id: UUID | None = None
    currency_id: UUID | None = None
    ticket_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


def iterate_pages(size: int, wanted: PaymentFilter, after: UUID | None = None) -> Iterator[Page[RecordedPayment]]:
    """Yield the payments that match a filter, in the order of their ids, in pages of `size`; nothing if none match.

    Each page is read when it is asked for, and no transaction is open in between. A payment that exists throughout is
    in exactly one page, whatever is written meanwhile. `after` is the last id to leave out; it need not exist.
    """
    for rows, has_more in iterate_rows(size, wanted, after):
        payments = [RecordedPayment.from_row(row) for row in rows]
        yield Page(payments, payments[-1].id if has_more else None)


def iterate_rows(
    size: int, wanted: PaymentFilter, after: UUID | None, further_columns: Mapping[str, ColumnBase] = {}
) -> Iterator[tuple[list[tuple[Any, ...]], bool]]:
    """Yield the rows of `COLUMNS` and of further columns as `iterate_pages` does, and whether there are more.

    With a ticket, the further columns may be those of its links.
    """
    selected = {**COLUMNS, **further_columns}
    conditions = _make_conditions(wanted)
    columns = [column.alias(name) for name, column in selected.items()]
    if wanted.ticket_id is None:
        query, id_columns = Payment.select(*columns), [Payment.id]
    else:
        # CROSS makes SQLite start from the links. A page starts after an id in both columns: with a condition on only
        # one of them, PostgreSQL reads a large ticket's payments from the beginning for each page.
        query = TicketPayment.select(*columns).join(Payment, JOIN.CROSS)
        id_columns = [TicketPayment.payment, Payment.id]
        conditions += [TicketPayment.ticket_id == wanted.ticket_id, TicketPayment.payment == Payment.id]
    position = [column > after for column in id_columns if after]
    span = _make_time_conditions(wanted)
    conditions += span
    if span and wanted.ticket_id is None and wanted.transaction_id is None:
        ends = _find_first_and_last_id(span, MAX_PAYMENTS_TO_SEARCH if after else None)
        if ends:
            first, last = ends
            conditions.append(Payment.id <= last)
            position = position or [Payment.id >= first]
    # LEFT: a payment whose currency is missing is a fault, and must not be left out silently.
    query = query.join_from(Payment, Currency, JOIN.LEFT_OUTER).order_by(id_columns[0]).limit(size + 1)
    has_more = True
    while has_more:
        narrowed = [*conditions, *position]
        rows = sorted(current.fetch_rows(query.where(*narrowed) if narrowed else query, selected))
        has_more = len(rows) > size
        if rows:
            yield rows[:size], has_more
            position = [column > rows[:size][-1][0] for column in id_columns]


def _make_conditions(wanted: PaymentFilter) -> list[Expression]:
    columns = [
        (Payment.transaction_id, wanted.transaction_id),
        (Payment.method, wanted.method_id),
        (Payment.currency, wanted.currency_id),
    ]
    return [column == value for column, value in columns if value is not None]


def _make_time_conditions(wanted: PaymentFilter) -> list[Expression]:
    bounds = [(operator.ge, wanted.created_from), (operator.lt, wanted.created_to)]
    return [compare(Payment.created_at, bound) for compare, bound in bounds if bound is not None]


def _find_first_and_last_id(span: list[Expression], limit: int | None) -> tuple[str | None, str | None] | None:
    """Return the first and the last id of a time span, or None if it has more than `limit` payments.

    The index on the time is enough to find both: no payment is read. They need not be the ids of the earliest and the
    latest payment: an id that was made by hand in the database has no relation to the time.
    """
    # PostgreSQL before 18 has no MIN of a UUID. Its text has to sort as it does itself, whatever the collation.
    text = current.sort_by_bytes(Payment.id.cast("text"))
    found = Payment.select(text.alias("id")).where(*span).alias("found")
    if limit is not None:
        found = found.limit(limit + 1)
    ends = Select([found], [fn.COUNT(found.c.id), fn.MIN(found.c.id), fn.MAX(found.c.id)])
    count, first, last = current.execute(ends).fetchone()
    return (first, last) if limit is None or count <= limit else None
