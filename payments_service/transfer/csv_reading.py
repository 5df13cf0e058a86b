"""Reading payments from a CSV file, as spreadsheets, tills and `export csv` write them."""
import codecs
import csv
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from uuid import UUID

from ..codec import encode
from ..errors import UnusableFile
from ..money import InvalidAmount, to_minor_units
from ..schemas.fields import MAX_REASON_LENGTH
from ..store.exports import Line
from ..text import rearm
from ..tokens.claims import MAX_USER_LENGTH, is_valid_user
from .importing import (
    BLANK_TRANSACTION_ID, INVALID_TRANSACTION_ID, ROWS_PER_STEP, UUID_TEXT, FoundCurrency, Import, Refused,
    check_moment, check_ticket_id, check_transaction_id, is_storable, make_id,
)
from .report import Name, Outcome
from .staging import StagedPayment, StagedRefund

REQUIRED = ["time", "amount", "currency", "method"]
# A payment of several tickets has a line for each. A line with `refund_of` is a refund of that payment.
COLUMNS = list(Line._fields)
DELIMITERS = [",", ";", "\t", "|"]
# What a line with a further ticket of the same payment repeats.
OF_PAYMENT = ["id", *REQUIRED, "tip", "transaction_id", "user"]
MAX_HEADINGS_LENGTH = 2**17
# Workbooks are ZIP files.
WORKBOOK = b"PK\x03\x04"
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# Thousands may be grouped by blanks, apostrophes, and whichever of the comma and the point is not the decimal one.
GROUPS = r"\d{{1,3}}(?:[{0}]\d{{3}})+"
NUMBER = r"(?:{0}|\d+)(?:{1}\d+)?"
BLANKS = " \u00a0\u202f'\u2019"
WITH_POINT = re.compile(NUMBER.format(GROUPS.format(BLANKS + ","), r"\."), re.ASCII)
WITH_COMMA = re.compile(NUMBER.format(GROUPS.format(BLANKS + "."), ","), re.ASCII)
# A comma and three digits are thousands to some and thousandths to others.
AMBIGUOUS = re.compile(r"\d{1,3},\d{3}", re.ASCII)
NEGATIVE = re.compile(r"[-\u2212].*|.*-", re.DOTALL)
SLASHED = re.compile(
    r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[ ,T]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?: ?([AP]M))?)?",
    re.ASCII | re.IGNORECASE,
)
CLOCK_SET_BACK = "times that the clock showed twice are the first of both"


@dataclass(frozen=True)
class Layout:
    """How a file is written. `headings` has the file's own heading of a column, or two joined by a plus."""

    headings: dict[str, str] = field(default_factory=dict)
    # Found out if None.
    encoding: str | None = None
    delimiter: str | None = None
    decimal_comma: bool = False
    # The order of day and month where a date does not begin with the year: dmy or mdy; iso where it does.
    dates: str = "iso"
    # The currency of every line.
    currency: str | None = None


class Row(NamedTuple):
    """A line's number and its cells, by column."""

    number: int
    cells: dict[str, str]


def read(path: Path, layout: Layout, time_zone: tzinfo, this_import: Import) -> None:
    """Stage the payments of a file. Times without a zone are in `time_zone`. Raises `UnusableFile`."""
    if not path.is_file():
        raise UnusableFile(f"there is no file {path}")
    size = path.stat().st_size
    reader = _Reader(this_import, layout, time_zone)
    with _open(path, layout) as file:
        for done, line in enumerate(_read_lines(path, file, layout, this_import.report.facts.append), 1):
            reader.read(line)
            if done % ROWS_PER_STEP == 0:
                this_import.progress("Reading", min(file.buffer.tell(), size), size)
    reader.describe()


@contextmanager
def _open(path: Path, layout: Layout) -> Iterator[TextIO]:
    """Open a file as text; raises `UnusableFile` for bytes that are not in its encoding, and names the line."""
    try:
        with path.open("rb") as file:
            start = file.read(len(WORKBOOK))
        if start == WORKBOOK:
            raise UnusableFile(f"{path} is a workbook: save it as CSV")
        has_utf_16_mark = start.startswith(UTF_16_MARKS)
        encoding = layout.encoding or ("utf-16" if has_utf_16_mark else "utf-8-sig")
        with path.open(newline="", encoding=encoding) as text:
            yield text
    except UnicodeError as error:
        line = _find_undecodable(path, encoding)
        advice = "name its encoding, such as --encoding cp1252" if layout.encoding is None else "name another encoding"
        raise UnusableFile(f"{path}, line {line} is not {encoding.removesuffix('-sig')}: {advice}") from error
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from error


def _find_undecodable(path: Path, encoding: str) -> int:
    """Return the number of the first line that cannot be decoded; 1 where lines do not end with a byte of their own."""
    number = 1
    if not encoding.startswith("utf-16"):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode(encoding)
                except UnicodeError:
                    break
    return number


def _read_lines(path: Path, file: TextIO, layout: Layout, note: Callable[[str], None]) -> Iterator[Row]:
    """Yield the lines below the headings that are not blank."""
    skipped, first = 0, file.readline(MAX_HEADINGS_LENGTH).removeprefix("\ufeff")
    # Excel's own note about the delimiter.
    told = re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE)
    if told:
        skipped, first = 1, file.readline(MAX_HEADINGS_LENGTH)
    wanted = {name: [part.casefold() for part in _split_heading(layout, name)] for name in COLUMNS}
    delimiter = layout.delimiter or (told[1] if told else _find_delimiter(first, wanted))
    headings = [_fold(cell) for cell in next(csv.reader([first], delimiter=delimiter), [])]
    places = _find_places(path, layout, headings, wanted)
    found = {heading for name in places for heading in wanted[name]}
    if ignored := [heading for heading in headings if heading not in found and heading]:
        note(f"these columns are not read: {', '.join(ignored)}")
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    number = skipped + 2
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield Row(number, _name_cells(row, places, len(headings)))
            number = skipped + 2 + reader.line_num
    except csv.Error as error:
        raise UnusableFile(f"{path}, line {number} cannot be told from the next ones: {error}") from error


def _split_heading(layout: Layout, name: str) -> list[str]:
    return [part.strip() for part in layout.headings.get(name, name).split("+")]


def _fold(heading: str) -> str:
    return heading.strip().casefold()


def _find_delimiter(first: str, wanted: dict[str, list[str]]) -> str:
    """Return the delimiter with which the most columns are found."""
    headings = {heading for parts in wanted.values() for heading in parts}

    def count(delimiter: str) -> int:
        return len(headings & {_fold(cell) for cell in next(csv.reader([first], delimiter=delimiter), [])})

    return max(DELIMITERS, key=count)


def _find_places(
    path: Path, layout: Layout, headings: list[str], wanted: dict[str, list[str]]
) -> dict[str, list[int]]:
    """Return where the cells of each column are; raises `UnusableFile` for a column that is missing or there twice."""
    places = {}
    for name, parts in wanted.items():
        required = name in layout.headings or (name in REQUIRED and not (name == "currency" and layout.currency))
        for heading in parts:
            if headings.count(heading) > 1:
                raise UnusableFile(f"{path} has several columns {heading!r}")
            if heading not in headings and required:
                shown = ", ".join(headings)[:200]
                raise UnusableFile(f"{path} has no column {heading!r} but {shown}: --map {name}=HEADING names another")
        if all(heading in headings for heading in parts):
            places[name] = [headings.index(heading) for heading in parts]
    return places


def _name_cells(row: list[str], places: dict[str, list[int]], columns: int) -> dict[str, str]:
    """Return the cells of a row by column; `?` has why it has not as many as the headings."""
    cells = dict.fromkeys(COLUMNS, "")
    if len(row) < columns or any(cell.strip() for cell in row[columns:]):
        cells["?"] = f"it has {len(row)} cells, and the headings are {columns}"
    for name, found in places.items():
        cells[name] = " ".join(row[place].strip() for place in found if place < len(row)).strip()
    return cells


class _Payment(NamedTuple):
    """The last payment, to which lines with further tickets belong; and how much of it no ticket has yet."""

    number: int
    id: UUID
    cells: list[str]
    currency: FoundCurrency
    unshared: int


class _Reader:
    """Reads lines."""

    def __init__(self, this_import: Import, layout: Layout, time_zone: tzinfo) -> None:
        self.this_import = this_import
        self.layout = layout
        self.time_zone = time_zone
        self.catalogue = this_import.catalogue
        self.report = this_import.report
        self.last: _Payment | None = None
        self.without_zone = False

    def read(self, line: Row) -> None:
        """Stage the payment, the further ticket or the refund of a line, or list why it is left out."""
        cells = line.cells
        if "?" not in cells and cells["refund_of"]:
            self._read_refund(line)
            return
        same = [cells[name] for name in OF_PAYMENT]
        if not (cells["id"] and cells["ticket"] and self.last and self.last.cells == same):
            self.last = self._read_payment(line, same)
        if self.last and (cells["ticket"] or cells["share"]):
            self.last = self._read_ticket(line, self.last)

    def _read_payment(self, line: Row, same: list[str]) -> _Payment | None:
        """Stage a payment and return it, None for one that is refused."""
        number, cells = line
        amount = None
        try:
            if "?" in cells:
                raise Refused(cells["?"])
            amount = self._read_amount("amount", cells["amount"])
            currency = self._find_currency(cells)
            method_id = self._find_method(cells["method"])
            minor_units = _to_minor_units(amount, currency)
            tip = _to_minor_units(self._read_amount("tip", cells["tip"] or "0"), currency)
            if tip > minor_units:
                raise Refused("the tip is more than the amount")
            created_at = self._read_time(number, cells["time"])
            user_id = _read_user(cells["user"])
        except Refused as error:
            name = Name(self.layout.currency or cells["currency"] or "?", cells["method"] or "?")
            self.this_import.refuse(number, cells["id"], str(error), name, amount)
            return None
        transaction_id, kept = self._read_transaction_id(number, cells)
        content = [created_at.isoformat(), str(minor_units), currency.acronym, str(method_id), *same[5:]]
        payment_id = self._make_id(cells["id"], transaction_id, [*content, cells["ticket"]])
        if cells["id"] and not UUID_TEXT.fullmatch(cells["id"]):
            kept["id"] = cells["id"]
            self.report.map("payments", cells["id"], str(payment_id))
        if not transaction_id and not kept.get("transaction_id"):
            self.report.assume(BLANK_TRANSACTION_ID, number, cells["id"], str(payment_id))
        source = encode(kept).decode() if kept else None
        amounts = minor_units, tip
        self.this_import.add(
            StagedPayment(
                number, payment_id, cells["id"], method_id, currency.id, transaction_id, *amounts, created_at, user_id,
                source,
            )
        )
        return _Payment(number, payment_id, same, currency, minor_units - tip)

    def _make_id(self, text: str, transaction_id: str | None, content: list[str]) -> UUID:
        """Return the id of a payment: its own, or one that is the same whenever the file is read.

        It is made of the id if that is no UUID; without an id, of the transaction_id, or else of all that the line
        says and how many earlier lines say the same.
        """
        if text:
            return UUID(text) if UUID_TEXT.fullmatch(text) else make_id("payments", text)
        seen = self.this_import.stage.count_seen
        if transaction_id and seen(key := f"transaction_id {transaction_id}") == 1:
            return make_id("payments", key)
        key = "\t".join(content)
        return make_id("payments", f"line {seen(key)} {key}")

    def _read_transaction_id(self, number: int, cells: dict[str, str]) -> tuple[str | None, dict[str, Any]]:
        text = rearm(cells["transaction_id"])
        try:
            return check_transaction_id(text), {}
        except Refused:
            self.report.assume(INVALID_TRANSACTION_ID, number, cells["id"], "", repr(text))
            return None, {"transaction_id": text}

    def _read_ticket(self, line: Row, payment: _Payment) -> _Payment:
        """Stage a ticket of a payment; return the payment with what is left of it."""
        ticket_id, share = rearm(line.cells["ticket"]), None
        try:
            check_ticket_id(ticket_id)
            if line.cells["share"]:
                share = _to_minor_units(self._read_amount("share", line.cells["share"]), payment.currency)
                if share > payment.unshared:
                    raise Refused("the shares of its tickets are more than the payment")
            if not self.this_import.stage.add_ticket(line.number, payment.id, ticket_id, share, payment.number):
                raise Refused("the payment is linked to this ticket in an earlier line")
        except Refused as error:
            self.report.links[Outcome.REFUSED] += 1
            self.report.refuse(line.number, line.cells["id"], f"without its ticket: {error}")
            return payment
        return payment._replace(unshared=payment.unshared - (share or 0))

    def _read_refund(self, line: Row) -> None:
        number, cells = line
        try:
            text = cells["refund_of"]
            payment_id = UUID(text) if UUID_TEXT.fullmatch(text) else make_id("payments", text)
            currency = self._find_currency(cells)
            minor_units = _to_minor_units(self._read_amount("amount", cells["amount"]), currency)
            if not minor_units:
                raise Refused("the amount is zero")
            transaction_id = check_transaction_id(rearm(cells["transaction_id"]))
            if ticket_id := rearm(cells["ticket"]) or None:
                check_ticket_id(ticket_id)
            refund_id = cells["id"] or "\t".join(cells.values())
            self.this_import.stage.add_refund(
                StagedRefund(
                    number,
                    UUID(refund_id) if UUID_TEXT.fullmatch(refund_id) else make_id("refunds", refund_id),
                    payment_id,
                    self._find_method(cells["method"]),
                    currency.id,
                    minor_units,
                    _read_reason(rearm(cells["reason"])),
                    transaction_id,
                    ticket_id,
                    _read_user(cells["user"]),
                    self._read_time(number, cells["time"]),
                )
            )
        except Refused as error:
            self.report.refunds[Outcome.REFUSED] += 1
            self.report.refuse(number, cells["id"], f"the refund: {error}")

    def _find_currency(self, cells: dict[str, str]) -> FoundCurrency:
        text = cells["currency"] or self.layout.currency or ""
        if UUID_TEXT.fullmatch(text):
            if UUID(text) not in self.catalogue.currencies:
                raise Refused(f"there is no currency with the id {text} here")
            return self.catalogue.currencies[UUID(text)]
        return self.catalogue.find_currency(rearm(text))

    def _find_method(self, text: str) -> UUID:
        if UUID_TEXT.fullmatch(text):
            if UUID(text) not in self.catalogue.methods:
                raise Refused(f"there is no method with the id {text} here")
            return UUID(text)
        return self.catalogue.find_method(rearm(text))

    def _read_amount(self, name: str, text: str) -> Decimal:
        """Return an amount; raises `Refused` for text that is none, or that could be two."""
        if not text:
            raise Refused(f"it has no {name}")
        if NEGATIVE.fullmatch(text):
            raise Refused(f"the {name} {text!r} is negative")
        pattern, comma = (WITH_COMMA, True) if self.layout.decimal_comma else (WITH_POINT, False)
        if not pattern.fullmatch(text) or (not comma and AMBIGUOUS.fullmatch(text)):
            advice = ": --decimal-comma says that the comma is decimal" if "," in text and not comma else ""
            raise Refused(f"the {name} {text!r} is no number{advice}")
        digits = re.sub(r"[^\d,.]", "", text, flags=re.ASCII)
        return Decimal(digits.replace(".", "").replace(",", ".") if comma else digits.replace(",", ""))

    def _read_time(self, number: int, text: str) -> datetime:
        """Return a time; raises `Refused` for text that is none."""
        try:
            moment = datetime.fromisoformat(text) if self.layout.dates == "iso" else self._read_date(text)
            if moment.tzinfo is None:
                moment = self._add_zone(number, moment)
            return check_moment(moment)
        except (ValueError, OverflowError) as error:
            if isinstance(error, Refused):
                raise
            is_iso = self.layout.dates == "iso"
            advice = ": --dates says in which order day and month are" if is_iso and SLASHED.fullmatch(text) else ""
            raise Refused(f"the time {text!r} is none{advice}") from None

    def _read_date(self, text: str) -> datetime:
        found = SLASHED.fullmatch(text)
        if not found:
            return datetime.fromisoformat(text)
        *date, hour, minute, second, half = found.groups()
        day, month, year = (int(part) for part in date)
        if self.layout.dates == "mdy":
            day, month = month, day
        hours = int(hour or 0)
        if half:
            if not 1 <= hours <= 12:
                raise ValueError("no hour of a half day")
            hours = hours % 12 + (12 if half.upper() == "PM" else 0)
        return datetime(year, month, day, hours, int(minute or 0), int(second or 0))

    def _add_zone(self, number: int, moment: datetime) -> datetime:
        self.without_zone = True
        first, second = (moment.replace(tzinfo=self.time_zone, fold=fold) for fold in (0, 1))
        if first.utcoffset() != second.utcoffset():
            if first.astimezone(timezone.utc).astimezone(self.time_zone).replace(tzinfo=None) != moment:
                raise Refused(f"the clock skipped the time {moment} in {self.time_zone}")
            self.report.assume(CLOCK_SET_BACK, number, "", "", str(moment))
        return first

    def describe(self) -> None:
        """Report what was assumed of the file as a whole."""
        facts = self.report.facts
        if self.without_zone:
            facts.append(f"times without a zone are in {self.time_zone}, which is PAYMENTS_TIME_ZONE")
        facts += self.catalogue.describe_new()


def _to_minor_units(amount: Decimal, currency: FoundCurrency) -> int:
    try:
        return to_minor_units(amount, currency.acronym, currency.decimals)
    except InvalidAmount as error:
        raise Refused(f"the amount {amount} does not fit: {error}") from None


def _read_user(text: str) -> str | None:
    user = rearm(text)
    if user and not is_valid_user(user):
        raise Refused(f"the user is no text of up to {MAX_USER_LENGTH} printable characters")
    return user or None


def _read_reason(text: str) -> str | None:
    if len(text) > MAX_REASON_LENGTH or not is_storable(text):
        raise Refused(f"the reason is no text of up to {MAX_REASON_LENGTH} characters")
    return text or None
