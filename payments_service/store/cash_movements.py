"""Cash movements: float, petty cash, and takings carried to the bank."""
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from ..codec import exact_number
from ..database import write
from ..errors import Invalid
from ..models import CashMovement, Currency
from ..money import InvalidAmount, format_amount, to_positive_minor_units
from ..text import INVISIBLE_END, has_invisible_end
from . import currencies, history, ids, methods
from .history import Action, Caller
from .pages import Page, iterate_rows
from .postings import Change, Kind

NOT_CASH = "This payment method is not cash: only cash is paid in and out."


@write()
def add(*, kind: str, method_id: UUID, currency_id: UUID, amount: Decimal, reason: str, caller: Caller) -> UUID:
    """Record that cash was paid into the drawer (`paid_in`) or out of it (`paid_out`), and return the movement's id.

    Raises `Invalid` for an unknown method or currency, a method that is not cash, an amount of zero or one that the
    currency cannot hold, and a reason with a blank or an invisible character at either end.
    """
    minor_units, decimals = _check_fields(method_id, currency_id, amount, reason)
    movement_id, now = ids.make_cash_movement_id(), datetime.now(timezone.utc)
    shown = _show(decimals, movement_id, kind, method_id, currency_id, minor_units, reason)
    change = Change(Kind(kind), method_id, currency_id, minor_units if kind == Kind.PAID_IN else -minor_units)
    closing = history.add(Action(kind), None, caller, now, after=shown, changes=[change])
    CashMovement.insert(
        id=movement_id,
        kind=kind,
        method=method_id,
        currency=currency_id,
        minor_units=minor_units,
        reason=reason,
        user_id=caller.user_id,
        at=now,
        closing=closing,
    ).execute()
    return movement_id


def _check_fields(method_id: UUID, currency_id: UUID, amount: Decimal, reason: str) -> tuple[int, int]:
    """Return an amount in minor units, and the decimals of its currency; raises `Invalid`, naming every such field."""
    invalid = {"reason": INVISIBLE_END} if has_invisible_end(reason) else {}
    method = methods.by_id.first_dict(id=method_id)
    if method is None:
        invalid["method_id"] = methods.NO_METHOD
    elif not method["cash"]:
        invalid["method_id"] = NOT_CASH
    currency = currencies.by_id.first_dict(id=currency_id)
    minor_units = decimals = 0
    if currency is None:
        invalid["currency_id"] = currencies.NO_CURRENCY
    else:
        decimals = currency["decimals"]
        try:
            minor_units = to_positive_minor_units(amount, currency["acronym"], decimals)
        except InvalidAmount as error:
            invalid["amount"] = str(error)
    if invalid:
        raise Invalid(**invalid)
    return minor_units, decimals


def iterate_pages(size: int, closing: int | None = None, after: UUID | None = None) -> Iterator[Page[dict[str, Any]]]:
    """Yield the movements, or those of a closing, in the order of their ids, in pages of `size`; nothing if none match.

    `after` is the last id to leave out; it need not exist.
    """
    columns = [
        CashMovement.id, CashMovement.kind, CashMovement.method, CashMovement.currency, CashMovement.minor_units,
        CashMovement.reason, CashMovement.user_id, CashMovement.at, CashMovement.closing, Currency.decimals,
    ]
    query = CashMovement.select(*columns).join(Currency)
    if closing is not None:
        query = query.where(CashMovement.closing == closing)
    for rows, next_after in iterate_rows(query, CashMovement.id, size, after):
        movements = [
            _show(decimals, *recorded) | {"user_id": user_id, "at": at.isoformat(), "closing": closing}
            for *recorded, user_id, at, closing, decimals in rows
        ]
        yield Page(movements, next_after)


def _show(
    decimals: int, movement_id: UUID, kind: str, method_id: UUID, currency_id: UUID, minor_units: int, reason: str
) -> dict[str, Any]:
    """Return what the history holds of a movement."""
    return {
        "id": movement_id,
        "kind": kind,
        "method_id": method_id,
        "currency_id": currency_id,
        "amount": exact_number(format_amount(minor_units, decimals)),
        "reason": reason,
    }
