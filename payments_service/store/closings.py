"""Closings: each holds all postings since the one before, and never changes."""
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from ..database import current, write
from ..errors import ClosingNumberTaken, Conflict, Invalid, NotFound
from ..models import Closing, ClosingLine, ClosingUser, OpenClosing
from ..money import MAX_MINOR_UNITS, InvalidAmount, to_minor_units
from . import archives, business_days, totals
from .archives import NO_CLOSING, Header
from .history import Caller
from .pages import Page, iterate_rows
from .totals import Key, Line, Names, Totals

TOO_LARGE = "The amounts are too large to add up."


class Count(NamedTuple):
    """The money of a method and currency that somebody counted, and what of it stays in the drawer, None: all cash."""

    method_id: UUID
    currency_id: UUID
    counted: Decimal
    remaining: Decimal | None


def read_next() -> dict[str, Any]:
    """Return what a closing now would hold, as the API shows it, and the methods that are cash."""
    number = find_open_number()
    cash_methods = [
        {"method_id": method["id"], "method": method["name"]}
        for method in sorted(Names().methods.values(), key=lambda method: method["id"])
        if method["cash"]
    ]
    # No closing can change what this number holds: its postings were all made before, and the last closing is final.
    shown = totals.read_open(number).show()
    return {"number": number, "business_date": business_days.today()} | shown | {"cash_methods": cash_methods}


def read_count_sheet() -> dict[str, Any]:
    """Return what can be counted for the next closing, as the API shows it: names and no figure."""
    number, names = find_open_number(), Names()
    methods = [
        {"method_id": method["id"], "method": method["name"], "cash": method["cash"]}
        for method in sorted(names.methods.values(), key=lambda method: method["id"])
    ]
    currencies = [
        {"currency_id": currency["id"], "currency": currency["acronym"]}
        for currency in sorted(names.currencies.values(), key=lambda currency: currency["id"])
    ]
    lines = [line.show_names() for line in totals.read_open(number).lines.values()]
    return {"number": number, "lines": lines, "methods": methods, "currencies": currencies}


def find_open_number() -> int:
    """Return the number of the open closing."""
    return int(OpenClosing.select(OpenClosing.number).scalar())


def get(number: int | None) -> dict[str, Any]:
    """Return a closing as the API shows it; raises `NotFound`, also for None."""
    closing = Closing.select().where(Closing.number == number).dicts().first() if number is not None else None
    if closing is None:
        raise NotFound(NO_CLOSING)
    return _show([closing])[0]


def list_hashes() -> dict[int, str]:
    """Return the hash of each closing by its number, oldest first."""
    return dict(Closing.select(Closing.number, Closing.hash).order_by(Closing.number).tuples())


def iterate_pages(size: int, after: int = 0) -> Iterator[Page[dict[str, Any]]]:
    """Yield the closings, oldest first, in pages of `size`; nothing if there are none.

    `after` is the number of the last closing to leave out.
    """
    names = Closing._meta.sorted_field_names
    for rows, next_after in iterate_rows(Closing.select(), Closing.number, size, after):
        yield Page(_show([dict(zip(names, row)) for row in rows]), next_after)


def _show(closings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = totals.read_closed(closing["number"] for closing in closings)
    return [
        closing | {"closed_at": closing["closed_at"].isoformat()} | found[closing["number"]].show()
        for closing in closings
    ]


@write()
def add(*, number: int | None = None, counts: Collection[Count] = (), caller: Caller) -> int:
    """Close everything since the last closing, and return the number of the new one.

    Raises `ClosingNumberTaken` if `number` is not that of the open closing, `Invalid` for counts that cannot be, and
    `Conflict` if an amount is too large. Every write that changes money has ended before, or waits until this one ends.
    """
    (open_number,) = current.for_update(OpenClosing.select(OpenClosing.number)).tuples().first()
    if number not in (None, open_number):
        raise _describe_taken(open_number)
    found = _apply_counts(totals.read_open(open_number), counts)
    _check_size(found)
    now = datetime.now(timezone.utc)
    header = Header(open_number, now, caller.user_id, business_days.find_date(now), _find_previous_hash(open_number))
    _insert_totals(open_number, found)
    sealed = archives.hash_lines(archives.write_archive(header))
    Closing.insert(**header._asdict(), hash=sealed).execute()
    OpenClosing.update(number=open_number + 1).execute()
    return int(open_number)


def _find_previous_hash(number: int) -> str | None:
    found: str | None = Closing.select(Closing.hash).where(Closing.number == number - 1).scalar()
    return found


def _describe_taken(open_number: int) -> ClosingNumberTaken:
    last = Closing.select().where(Closing.number == open_number - 1).dicts().first()
    detail = f"The next closing is {open_number}."
    if last:
        who = "a token without a user" if last["user_id"] is None else f"user {last['user_id']}"
        detail += f" Closing {last['number']} was made by {who} at {last['closed_at']:%Y-%m-%d %H:%M:%S} UTC."
    return ClosingNumberTaken(detail)


def _apply_counts(found: Totals, counts: Collection[Count]) -> Totals:
    """Return totals with what was counted, and with what stays in the drawer; raises `Invalid`."""
    lines, names = found.lines, Names()
    invalid = []
    counted = set()
    for position, count in enumerate(counts, 1):
        key = Key(count.method_id, count.currency_id)
        try:
            if key in counted:
                raise ValueError("this method and currency is counted twice.")
            counted.add(key)
            _apply_count(lines, names, key, count)
        except (ValueError, InvalidAmount) as error:
            invalid.append(f"Count {position}: {error}")
    if invalid:
        raise Invalid(counts=" ".join(invalid))
    for line in lines.values():
        if line.remaining is None:
            line.remaining = (line.expected if line.counted is None else line.counted) if line.cash else 0
    return Totals(totals.sort_lines(lines), found.users)


def _apply_count(lines: dict[Key, Line], names: Names, key: Key, count: Count) -> None:
    """Note a count in its line, which is made if there is none; raises ValueError and `InvalidAmount`."""
    if key.method_id not in names.methods:
        raise ValueError("there is no payment method with this method_id.")
    if key.currency_id not in names.currencies:
        raise ValueError("there is no currency with this currency_id.")
    line = lines.get(key) or names.make_line(key)
    line.counted = to_minor_units(count.counted, line.currency_acronym, line.decimals)
    if count.remaining is not None:
        if not line.cash:
            raise ValueError("only cash remains in a drawer: leave remaining out.")
        line.remaining = to_minor_units(count.remaining, line.currency_acronym, line.decimals)
        if line.remaining > line.counted:
            raise ValueError("remaining is more than counted.")
    lines[key] = line


def _check_size(found: Totals) -> None:
    """Raise `Conflict` for totals that no BIGINT can hold."""
    amounts = [amount for user in found.users for amount in (user.takings, user.tips)]
    for line in found.lines.values():
        amounts += [line.opening, line.payments, line.corrections, line.refunds, line.paid_in, line.paid_out]
        amounts += [line.tips]
        amounts += [line.opening + line.payments, line.opening + line.payments + line.corrections]
        amounts += [line.opening + line.payments + line.corrections - line.refunds, line.expected]
        amounts += [line.expected + line.paid_out, line.remaining or 0]
    if any(abs(amount) > MAX_MINOR_UNITS for amount in amounts):
        raise Conflict(TOO_LARGE)


def _insert_totals(number: int, found: Totals) -> None:
    for key, line in found.lines.items():
        values = {field.name: getattr(line, field.column_name) for field in totals.STORED}
        ClosingLine.insert(**values, closing=number, expected=line.expected).execute()
    for user in found.users:
        line_of = {"method": user.key.method_id, "currency": user.key.currency_id}
        amounts = {"takings": user.takings, "tips": user.tips}
        ClosingUser.insert(closing=number, user_id=user.user_id, **line_of, **amounts).execute()
