"""The totals of a closing: a line for each method and currency, and what each user took."""
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from peewee import ColumnBase, Expression, fn

from ..codec import exact_number
from ..models import ClosingLine, ClosingUser, Currency, Method, Posting
from ..money import format_amount
from .postings import TAKINGS, Kind, join_halves, sum_halves


class Key(NamedTuple):
    """What a line is for."""

    method_id: UUID
    currency_id: UUID


@dataclass
class Line:
    """The totals of a method and currency in minor units, with the names that they have, or had when they were closed.

    `counted` is None if the money was not counted. `remaining` is what stays in the drawer after the closing. `tips`
    are a part of payments and corrections.
    """

    method_id: UUID
    currency_id: UUID
    method_name: str
    cash: bool
    currency_acronym: str
    decimals: int
    opening: int = 0
    payments: int = 0
    payments_count: int = 0
    corrections: int = 0
    corrections_count: int = 0
    refunds: int = 0
    refunds_count: int = 0
    paid_in: int = 0
    paid_out: int = 0
    counted: int | None = None
    remaining: int | None = None
    tips: int = 0

    @property
    def expected(self) -> int:
        """What there should be."""
        return self.opening + self.payments + self.corrections - self.refunds + self.paid_in - self.paid_out

    @property
    def difference(self) -> int | None:
        """How much more was counted than expected, None if the money was not counted."""
        return None if self.counted is None else self.counted - self.expected

    @property
    def taken_out(self) -> int | None:
        """What the closing takes out of the drawer, None in an open closing. Other methods have no drawer."""
        if self.remaining is None:
            return None
        there = self.expected if self.counted is None else self.counted
        return there - self.remaining if self.cash else 0

    def add(self, kind: Kind, count: int, minor_units: int, tip_units: int) -> None:
        """Add postings of a kind. Refunds and cash paid out are positive in a line and negative in postings."""
        self.tips += tip_units
        match kind:
            case Kind.PAYMENT:
                self.payments += minor_units
                self.payments_count += count
            case Kind.CORRECTION:
                self.corrections += minor_units
                self.corrections_count += count
            case Kind.REFUND:
                self.refunds -= minor_units
                self.refunds_count += count
            case Kind.PAID_IN:
                self.paid_in += minor_units
            case Kind.PAID_OUT:
                self.paid_out -= minor_units

    def show_names(self) -> dict[str, Any]:
        """Return what the line is for, as the API shows it."""
        return {
            "method_id": self.method_id,
            "method": self.method_name,
            "currency_id": self.currency_id,
            "currency": self.currency_acronym,
            "cash": self.cash,
        }

    def show(self) -> dict[str, Any]:
        """Return the line as the API shows it."""
        return self.show_names() | {
            "opening": show_amount(self.opening, self.decimals),
            "payments": show_amount(self.payments, self.decimals),
            "payments_count": self.payments_count,
            "corrections": show_amount(self.corrections, self.decimals),
            "corrections_count": self.corrections_count,
            "refunds": show_amount(self.refunds, self.decimals),
            "refunds_count": self.refunds_count,
            "paid_in": show_amount(self.paid_in, self.decimals),
            "paid_out": show_amount(self.paid_out, self.decimals),
            "expected": show_amount(self.expected, self.decimals),
            "counted": show_amount(self.counted, self.decimals),
            "difference": show_amount(self.difference, self.decimals),
            "remaining": show_amount(self.remaining, self.decimals),
            "taken_out": show_amount(self.taken_out, self.decimals),
            "tips": show_amount(self.tips, self.decimals),
        }


class UserLine(NamedTuple):
    """What a user took by a method and in a currency, in minor units: payments and corrections less refunds.

    `tips` are a part of it.
    """

    user_id: str | None
    key: Key
    takings: int
    tips: int

    def show(self, lines: dict[Key, Line]) -> dict[str, Any]:
        """Return it as the API shows it, with the names of its line."""
        line = lines[self.key]
        return {
            "user_id": self.user_id,
            "method_id": line.method_id,
            "method": line.method_name,
            "currency_id": line.currency_id,
            "currency": line.currency_acronym,
            "takings": show_amount(self.takings, line.decimals),
            "tips": show_amount(self.tips, line.decimals),
        }


class Totals(NamedTuple):
    """The lines of a closing, and those of its users, each in a fixed order."""

    lines: dict[Key, Line]
    users: list[UserLine]

    def show(self) -> dict[str, Any]:
        """Return them as the API shows them."""
        return {
            "lines": [line.show() for line in self.lines.values()],
            "users": [user.show(self.lines) for user in self.users],
        }


def show_amount(minor_units: int | None, decimals: int) -> msgspec.Raw | None:
    """Return an amount as JSON with exactly that many decimals, None for None."""
    return None if minor_units is None else exact_number(format_amount(minor_units, decimals))


class Names:
    """The names of all methods and currencies, as they are now. There are few."""

    def __init__(self) -> None:
        self.methods = {method["id"]: method for method in Method.select().dicts()}
        self.currencies = {currency["id"]: currency for currency in Currency.select().dicts()}

    def make_line(self, key: Key) -> Line:
        """Return a line without money."""
        method, currency = self.methods[key.method_id], self.currencies[key.currency_id]
        return Line(*key, method["name"], method["cash"], currency["acronym"], currency["decimals"])


class Sum(NamedTuple):
    """What the postings of a user and kind add up to, by method and currency."""

    key: Key
    user_id: str | None
    kind: Kind
    postings: int
    minor_units: int
    tip_units: int


def sum_postings(*conditions: Expression, by: Collection[ColumnBase] = ()) -> Iterator[tuple[list[Any], Sum]]:
    """Yield the sums of the postings that meet conditions, each with the values of the columns in `by`."""
    columns = [*by, Posting.method, Posting.currency, Posting.user_id, Posting.kind]
    sums = [*sum_halves(Posting.minor_units), *sum_halves(Posting.tip_units)]
    query = Posting.select(*columns, fn.COUNT(Posting.id), *sums)
    for row in query.where(*conditions).group_by(*columns).tuples():
        *values, method_id, currency_id, user_id, kind, count, high, low, high_tip, low_tip = row
        amounts = join_halves(high, low), join_halves(high_tip, low_tip)
        yield values, Sum(Key(method_id, currency_id), user_id, Kind(kind), count, *amounts)


def read_open(number: int) -> Totals:
    """Return the totals of the open closing so far. `remaining` is None."""
    names = Names()
    lines: dict[Key, Line] = {}
    for opening in ClosingLine.select().where((ClosingLine.closing == number - 1) & (ClosingLine.remaining != 0)):
        key = Key(opening.method_id, opening.currency_id)
        lines[key] = names.make_line(key)
        lines[key].opening = opening.remaining
    takings: dict[tuple[str | None, Key], tuple[int, int]] = {}
    # What was imported was never in the drawer.
    for _, found in sum_postings((Posting.closing == number) & (Posting.kind != Kind.CARRIED.value)):
        if found.key not in lines:
            lines[found.key] = names.make_line(found.key)
        lines[found.key].add(found.kind, found.postings, found.minor_units, found.tip_units)
        if found.kind in TAKINGS:
            user = found.user_id, found.key
            taken, tips = takings.get(user, (0, 0))
            takings[user] = taken + found.minor_units, tips + found.tip_units
    users = [UserLine(*user, *amounts) for user, amounts in takings.items()]
    return Totals(sort_lines(lines), sorted(users, key=_order_of_users))


def _order_of_users(user: UserLine) -> tuple[bool, str, Key]:
    return user.user_id is not None, user.user_id or "", user.key


def sort_lines(lines: dict[Key, Line]) -> dict[Key, Line]:
    """Return lines in the order of their methods and currencies."""
    return dict(sorted(lines.items()))


# The columns of a stored line that a `Line` is made of. The others follow from them.
STORED = [ClosingLine._meta.fields[name.removesuffix("_id")] for name in (field.name for field in fields(Line))]


def read_closed(numbers: Iterable[int]) -> dict[int, Totals]:
    """Return the totals of closings by their numbers."""
    found: dict[int, Totals] = {number: Totals({}, []) for number in numbers}
    lines = ClosingLine.select(ClosingLine.closing, *STORED).where(ClosingLine.closing.in_(list(found)))
    for number, *values in lines.order_by(ClosingLine.closing, ClosingLine.method, ClosingLine.currency).tuples():
        line = Line(*values)
        found[number].lines[Key(line.method_id, line.currency_id)] = line
    columns = [
        ClosingUser.closing, ClosingUser.user_id, ClosingUser.method, ClosingUser.currency, ClosingUser.takings,
        ClosingUser.tips,
    ]
    users = ClosingUser.select(*columns).where(ClosingUser.closing.in_(list(found))).order_by(ClosingUser.id)
    for number, user_id, method_id, currency_id, takings, tips in users.tuples():
        found[number].users.append(UserLine(user_id, Key(method_id, currency_id), takings, tips))
    return found
