"""New ids: UUIDs of version 7 (RFC 9562, section 5.7), in the order of recording whatever the clock says."""
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from peewee import Field, ModelSelect, Select
from uuid_utils.compat import uuid7

from ..database import placeholder, prepared
from ..models import CashMovement, Currency, History, Method, Payment, Refund

# Ids from here on leave no room for a later one, and SQLite sorts text that is no id after it. Only people make them.
END_OF_IDS = UUID("ffffffff-ffff-0000-0000-000000000000")
NANOSECONDS_PER_MILLISECOND = 10**6
# Beside the ids of the first currencies, before those that are made: 4217 and, as ASCII, the code of ISO 4217.
KNOWN_CURRENCY_ID = "01950000-0000-7000-8000-421700{}"


def select_newest_payments() -> list[ModelSelect]:
    """Return the queries for the newest ids of payments: columns of another query, so that it takes one round trip."""
    # The history has the deleted ones. Payments that are older than the history are in their table alone.
    return _select_newest(Payment.id, History.payment_id)


def make_payment_id(newest: Iterable[Any]) -> UUID:
    """Return an id that sorts after those of all payments, also the deleted ones, by `select_newest_payments`.

    Call it in the write transaction that has selected them. On SQLite, ids are then in the order of commits. On
    PostgreSQL, transactions at the same time may commit in another order than that of their ids.
    """
    return _make_later(newest)


def make_method_id() -> UUID:
    """Return an id that sorts after those of all methods. Call it in a write transaction."""
    return _make_id(_newest_method)


def make_currency_id() -> UUID:
    """Return an id that sorts after those of all currencies. Call it in a write transaction."""
    return _make_id(_newest_currency)


def find_known_currency_id(code: str) -> UUID:
    """Return the id of a currency of ISO 4217 by its three letters. It is the same on every installation."""
    return UUID(KNOWN_CURRENCY_ID.format(code.encode("ascii").hex()))


def make_cash_movement_id() -> UUID:
    """Return an id that sorts after those of all cash movements. Call it in a write transaction."""
    return _make_id(_newest_cash_movement)


def make_refund_id() -> UUID:
    """Return an id that sorts after those of all refunds. Call it in a write transaction."""
    return _make_id(_newest_refund)


def _make_id(query: prepared) -> UUID:
    return _make_later(query.first_tuple(id=END_OF_IDS) or ())


def _make_later(values: Iterable[Any]) -> UUID:
    newest = max((found for found in map(_read_id, values) if found), default=None)
    new = uuid7()
    if newest is None or new > newest:
        return new
    # The clock is behind, or another process has made an id in the same millisecond. RFC 9562, section 6.2, lets the
    # time of an id run ahead of the clock.
    milliseconds = newest.int >> 80
    return uuid7(nanoseconds=(milliseconds + 1) * NANOSECONDS_PER_MILLISECOND)


def _read_id(value: UUID | str | None) -> UUID | None:
    """Return a stored id; None for no id, and for text that is none, which SQLite takes in an edit by hand."""
    try:
        return value if isinstance(value, UUID) or value is None else UUID(value)
    except ValueError:
        return None


def _select_newest(*columns: Field) -> list[ModelSelect]:
    """Return a query for the newest id of each column, which needs `END_OF_IDS` as its id."""
    return [
        column.model.select(column).where(column < placeholder(Payment.id)).order_by(column.desc()).limit(1)
        for column in columns
    ]


@prepared
def _newest_method() -> Select:
    return Select([], _select_newest(Method.id))


@prepared
def _newest_currency() -> Select:
    return Select([], _select_newest(Currency.id))


@prepared
def _newest_cash_movement() -> Select:
    return Select([], _select_newest(CashMovement.id))


@prepared
def _newest_refund() -> Select:
    return Select([], _select_newest(Refund.id))
