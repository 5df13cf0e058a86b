"""Archives: a closing as a file, whose SHA-256 is the closing's hash. Its bytes must never change."""
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timezone
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from peewee import ColumnBase

from ..codec import encode, exact_number
from ..database import current
from ..errors import NotFound
from ..models import Closing, ClosingUser, History, Posting, Table
from ..money import format_amount
from . import totals
from .pages import Page
from .payments import format_uuid
from .totals import Key, Line, Names, Totals

NO_CLOSING = "There is no closing with this number."
# History entries or postings that are read at once.
BATCH = 1000
# The first closing's archive has the postings from before it, too.
CARRIED = 0


class Header(NamedTuple):
    """A closing without its totals and its hash."""

    number: int
    closed_at: datetime
    user_id: str | None
    business_date: date
    previous_hash: str | None


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the history as an archive has it."""

    id: int
    payment_id: str | None
    at: str
    user_id: str | None
    request_id: str
    action: str
    before: str | None
    after: str | None


class _Posting(msgspec.Struct, frozen=True):
    """A posting as an archive has it."""

    posting_id: int
    history_id: int | None
    user_id: str | None
    kind: str
    method_id: str
    currency_id: str
    business_date: str
    amount: msgspec.Raw
    tip: msgspec.Raw


def write_lines(number: int | None) -> Iterator[bytes]:
    """Return the lines of a closing's archive, as `write_archive` does; raises `NotFound`, also for None."""
    columns = [getattr(Closing, name) for name in Header._fields]
    row = Closing.select(*columns).where(Closing.number == number).tuples().first() if number is not None else None
    if row is None:
        raise NotFound(NO_CLOSING)
    return write_archive(Header(*row))


def iterate_pages(size: int, number: int | None) -> Iterator[Page[bytes]]:
    """Return the lines of a closing's archive in pages of `size`; raises `NotFound`, also for None.

    Each page is read when it is asked for, and no transaction is open in between: a closing never changes.
    """
    return _iterate(size, write_lines(number))


def _iterate(size: int, lines: Iterator[bytes]) -> Iterator[Page[bytes]]:
    position = size
    items = list(itertools.islice(lines, size))
    while items:
        following = list(itertools.islice(lines, size))
        yield Page(items, str(position) if following else None)
        items, position = following, position + size


def write_archive(header: Header) -> Iterator[bytes]:
    """Yield the lines of the archive of a closing whose lines and users are stored.

    It is JSON Lines. The first line has the number, the hash of the previous closing, and the business dates on which
    the closing was opened and closed. Each history entry follows in the order of ids, with `before` and `after` as the
    stored text, and then each posting in the order of ids. The last line has the totals. The same closing has the same
    bytes on both engines.
    """
    number = header.number
    opened = Closing.select(Closing.business_date).where(Closing.number == number - 1).scalar()
    yield _encode(
        {
            "number": number,
            "previous_hash": header.previous_hash,
            "opened": opened and opened.isoformat(),
            "closed": header.business_date.isoformat(),
        }
    )
    entries = postings = 0
    for entry in _read_history(number):
        entries += 1
        yield _encode(entry)
    found = totals.read_closed([number])[number]
    for posting in _read_postings(number, found):
        postings += 1
        yield _encode(posting)
    yield _encode(
        {
            "closed_at": format_time(header.closed_at),
            "user_id": header.user_id,
            "business_date": header.business_date.isoformat(),
            "entries": entries,
            "postings": postings,
            "lines": [_list_values(line) for line in found.lines.values()],
            "users": _list_users(number, found),
        }
    )


def hash_lines(lines: Iterable[bytes]) -> str:
    """Return the SHA-256 of lines in hexadecimal digits, as sha256sum prints that of a file."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def format_time(moment: datetime) -> str:
    """Return a time in UTC as text of fixed width, as SQLite stores it."""
    return moment.isoformat(sep=" ", timespec="microseconds")


def _encode(value: Any) -> bytes:
    return encode(value) + b"\n"


def _read_history(number: int) -> Iterator[Entry]:
    columns = [
        History.id, History.payment_id.cast("text"), History.at, History.user_id, History.request_id, History.action,
        History.before, History.after,
    ]
    for row in _read_rows(History, columns, number):
        entry_id, payment_id, at, *others = row
        yield Entry(entry_id, None if payment_id is None else format_uuid(payment_id), _format_stored(at), *others)


def _format_stored(moment: str | datetime) -> str:
    """Return a time as text. SQLite holds it as such."""
    return moment if isinstance(moment, str) else format_time(moment.astimezone(timezone.utc))


def _read_postings(number: int, found: Totals) -> Iterator[_Posting]:
    """Yield the postings of a closing, those of the first one after what was carried into it."""
    columns = [
        Posting.id, Posting.history_id, Posting.user_id, Posting.kind, Posting.method.cast("text"),
        Posting.currency.cast("text"), Posting.business_date, Posting.minor_units, Posting.tip_units,
    ]
    names = Names()
    # By the ids as they are stored.
    known: dict[tuple[str, str], tuple[str, str, int]] = {}
    for closing in [CARRIED, number] if number == 1 else [number]:
        for row in _read_rows(Posting, columns, closing):
            posting_id, history_id, user_id, kind, method_id, currency_id, business_date, minor_units, tip_units = row
            stored = method_id, currency_id
            if stored not in known:
                key = Key(UUID(method_id), UUID(currency_id))
                line = found.lines.get(key) or names.make_line(key)
                known[stored] = str(key.method_id), str(key.currency_id), line.decimals
            method, currency, decimals = known[stored]
            amounts = [exact_number(format_amount(amount, decimals)) for amount in (minor_units, tip_units)]
            yield _Posting(posting_id, history_id, user_id, kind, method, currency, str(business_date), *amounts)


def _read_rows(table: type[Table], columns: list[ColumnBase], number: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a closing in the order of their ids, which are the first column, as the driver returns them.

    There may be a million: Peewee takes longer to convert a row than all else takes.
    """
    after = 0
    while True:
        query = table.select(*columns).where((table.closing == number) & (table.id > after))
        rows = current.execute(query.order_by(table.id).limit(BATCH)).fetchall()
        yield from rows
        if len(rows) < BATCH:
            return
        after = rows[-1][0]


# Not what the API shows: that may get further fields, and an archive may not.
def _list_values(line: Line) -> dict[str, Any]:
    amounts = {
        "opening": line.opening,
        "payments": line.payments,
        "corrections": line.corrections,
        "refunds": line.refunds,
        "paid_in": line.paid_in,
        "paid_out": line.paid_out,
        "expected": line.expected,
        "counted": line.counted,
        "difference": line.difference,
        "remaining": line.remaining,
        "taken_out": line.taken_out,
        "tips": line.tips,
    }
    return {
        "method_id": str(line.method_id),
        "method": line.method_name,
        "cash": line.cash,
        "currency_id": str(line.currency_id),
        "currency": line.currency_acronym,
        "payments_count": line.payments_count,
        "corrections_count": line.corrections_count,
        "refunds_count": line.refunds_count,
    } | {
        name: None if amount is None else exact_number(format_amount(amount, line.decimals))
        for name, amount in amounts.items()
    }


def _list_users(number: int, found: Totals) -> list[dict[str, Any]]:
    ids = ClosingUser.select(ClosingUser.id).where(ClosingUser.closing == number).order_by(ClosingUser.id).tuples()
    return [
        {
            "id": row_id,
            "user_id": user.user_id,
            "method_id": str(user.key.method_id),
            "currency_id": str(user.key.currency_id),
            "takings": exact_number(format_amount(user.takings, found.lines[user.key].decimals)),
            "tips": exact_number(format_amount(user.tips, found.lines[user.key].decimals)),
        }
        for user, (row_id,) in zip(found.users, ids)
    ]
