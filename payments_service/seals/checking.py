"""Checking archives in files, without a database."""
import hashlib
from collections.abc import Iterable, Iterator
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, localcontext
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..store.archives import Entry

# Sums with more digits than any archive has are errors. Nothing is rounded.
EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])
UNREADABLE = (ArithmeticError, UnicodeError, msgspec.MsgspecError)

# What of the totals each kind of posting adds up to. The postings of `NEGATIVE` are below zero, and the totals above.
CARRIED = "carried"
AMOUNTS = {
    "payment": "payments",
    "correction": "corrections",
    "refund": "refunds",
    "paid_in": "paid_in",
    "paid_out": "paid_out",
}
NEGATIVE = ("refund", "paid_out")
# These are counted, and make up the takings of users.
COUNTS = {"payment": "payments_count", "correction": "corrections_count", "refund": "refunds_count"}


class WrongArchive(Exception):
    """A file is no archive, or contradicts itself. The message is one line that says how."""


class Archive(NamedTuple):
    """An archive in a file, whose content is as it should be by itself."""

    path: Path
    number: int
    hash: str
    previous_hash: str | None
    opened: str | None
    closed: str


class _First(msgspec.Struct, forbid_unknown_fields=True):
    """The first line of an archive."""

    number: int
    previous_hash: str | None
    opened: str | None
    closed: str


class _Posting(msgspec.Struct, forbid_unknown_fields=True):
    """A line of an archive with a posting."""

    posting_id: int
    history_id: int | None
    user_id: str | None
    kind: str
    method_id: str
    currency_id: str
    business_date: str
    amount: Decimal
    tip: Decimal


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """The totals of a method and currency."""

    method_id: str
    method: str
    cash: bool
    currency_id: str
    currency: str
    payments_count: int
    corrections_count: int
    refunds_count: int
    opening: Decimal
    payments: Decimal
    corrections: Decimal
    refunds: Decimal
    paid_in: Decimal
    paid_out: Decimal
    expected: Decimal
    counted: Decimal | None
    difference: Decimal | None
    remaining: Decimal
    taken_out: Decimal
    tips: Decimal


class _User(msgspec.Struct, forbid_unknown_fields=True):
    """What a user took by a method and in a currency."""

    id: int
    user_id: str | None
    method_id: str
    currency_id: str
    takings: Decimal
    tips: Decimal


class _Last(msgspec.Struct, forbid_unknown_fields=True):
    """The last line of an archive."""

    closed_at: str
    user_id: str | None
    business_date: str
    entries: int
    postings: int
    lines: list[_Line]
    users: list[_User]


# Each line begins with its own field.
DECODERS: list[tuple[bytes, Any]] = [
    (start, msgspec.json.Decoder(kind).decode)
    for start, kind in ((b'{"id":', Entry), (b'{"posting_id":', _Posting), (b'{"closed_at":', _Last))
]
_decode_first = msgspec.json.Decoder(_First).decode


def check_file(path: Path) -> Archive:
    """Return the archive in a file; raises `WrongArchive` if it contradicts itself, and OSError.

    Its entries and postings have to be complete and in order, and its totals have to be what its postings add up to.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file, localcontext(EXACT):
        try:
            first, last = _check_lines(_count_bytes(file, digest))
        except UNREADABLE as error:
            raise WrongArchive(f"{path} is not an archive: {error}") from error
        except WrongArchive as error:
            raise WrongArchive(f"{path}: {error}") from error
    if first.closed != last.business_date:
        raise WrongArchive(f"{path}: its first and its last line have different business dates")
    return Archive(path, first.number, digest.hexdigest(), first.previous_hash, first.opened, first.closed)


def _count_bytes(lines: Iterable[bytes], digest: Any) -> Iterator[bytes]:
    for line in lines:
        digest.update(line)
        if not line.endswith(b"\n"):
            raise WrongArchive("it is cut off")
        yield line


def _check_lines(lines: Iterator[bytes]) -> tuple[_First, _Last]:
    first = _decode_first(next(lines, b""))
    entries = postings = last_id = 0
    last: _Last | None = None
    sums: dict[tuple[str, ...], Decimal] = {}
    for line in lines:
        if last:
            raise WrongArchive("lines follow the totals")
        match _decode(line):
            case Entry(id=entry_id):
                if postings or entry_id <= last_id:
                    raise WrongArchive(f"history entry {entry_id} is not in its place")
                entries, last_id = entries + 1, entry_id
            case _Posting() as posting:
                _add_up(sums, posting)
                postings += 1
            case _Last() as last:
                pass
    if last is None:
        raise WrongArchive("it is cut off: it has no totals")
    for name, found, stated in (("entries", entries, last.entries), ("postings", postings, last.postings)):
        if found != stated:
            raise WrongArchive(f"it has {found} {name}, and its last line says {stated}")
    _compare(sums, last)
    return first, last


def _decode(line: bytes) -> Any:
    for start, decode in DECODERS:
        if line.startswith(start):
            return decode(line)
    raise WrongArchive("it has a line of an unknown kind")


def _add_up(sums: dict[tuple[str, ...], Decimal], posting: _Posting) -> None:
    """Add a posting to the totals of its method and currency, and of its user."""
    if posting.kind == CARRIED:
        return
    key = posting.method_id, posting.currency_id
    amount = -posting.amount if posting.kind in NEGATIVE else posting.amount
    added = {("line", AMOUNTS[posting.kind], *key): amount, ("line", "tips", *key): posting.tip}
    if posting.kind in COUNTS:
        added["line", COUNTS[posting.kind], *key] = Decimal(1)
        added["user", _name_user(posting.user_id), *key] = posting.amount
        added["tips", f"tips of {_name_user(posting.user_id)}", *key] = posting.tip
    for name, value in added.items():
        sums[name] = sums.get(name, Decimal(0)) + value


def _name_user(user_id: str | None) -> str:
    """Return a text that is another for no user than for one whose name is empty."""
    return "nobody" if user_id is None else f"user {user_id}"


def _compare(sums: dict[tuple[str, ...], Decimal], last: _Last) -> None:
    """Raise `WrongArchive` unless totals are what postings add up to."""
    stated: dict[tuple[str, ...], Decimal] = {}
    for line in last.lines:
        key = line.method_id, line.currency_id
        for name in (*AMOUNTS.values(), *COUNTS.values(), "tips"):
            stated["line", name, *key] = Decimal(getattr(line, name))
        _check_line(line)
    for user in last.users:
        name, key = _name_user(user.user_id), (user.method_id, user.currency_id)
        stated["user", name, *key] = user.takings
        stated["tips", f"tips of {name}", *key] = user.tips
    for total in sorted(sums.keys() | stated.keys()):
        if sums.get(total, Decimal(0)) != stated.get(total, Decimal(0)):
            _, of, method_id, currency_id = total
            raise WrongArchive(
                f"{of}, method {method_id}, currency {currency_id}: the total is {stated.get(total, 'missing')}, "
                f"and the postings add up to {sums.get(total, 'nothing')}"
            )


def _check_line(line: _Line) -> None:
    moved = line.payments + line.corrections - line.refunds + line.paid_in - line.paid_out
    there = line.expected if line.counted is None else line.counted
    expected: dict[str, Decimal | None] = {
        "expected": line.opening + moved,
        "difference": None if line.counted is None else line.counted - line.expected,
        "taken_out": there - line.remaining if line.cash else Decimal(0),
    }
    for name, value in expected.items():
        if getattr(line, name) != value:
            raise WrongArchive(
                f"{name}, method {line.method_id}, currency {line.currency_id}: the total is {getattr(line, name)}, "
                f"and should be {value}"
            )


def find_chain_faults(found: Iterable[Archive]) -> Iterator[str]:
    """Yield where archives do not follow each other, each in one line that names the file. Some may be absent."""
    by_number: dict[int, Archive] = {}
    for archive in found:
        same = by_number.setdefault(archive.number, archive)
        if same.hash != archive.hash:
            yield f"{archive.path} is another closing {archive.number} than {same.path}"
    for number, archive in sorted(by_number.items()):
        previous = by_number.get(number - 1)
        if (archive.previous_hash is None) != (number == 1):
            yield f"{archive.path}: closing {number} has {archive.previous_hash or 'no'} previous hash"
        elif previous and archive.previous_hash != previous.hash:
            yield f"{archive.path} follows another closing {number - 1} than {previous.path}"
        elif previous and archive.opened != previous.closed:
            yield f"{archive.path} was not opened on the day on which {previous.path} was closed"
