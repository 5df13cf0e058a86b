"""The report of an import: what was read, recorded and refused, with sums, and a file that lists each such row."""
import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UnusableFile

# Enough digits for sums of any two binary numbers of 64 bits. Nothing is rounded.
EXACT = Context(prec=2000, traps=[Inexact])
COLUMNS = ["what", "row", "source_id", "id", "why"]


class Outcome(StrEnum):
    """What became of a row."""

    RECORDED = "recorded"
    THERE = "there before"
    REFUSED = "refused"


HEADINGS = ["currency", "method", *(text for name in ("read", *Outcome) for text in (name, "amount"))]


class Name(NamedTuple):
    """A currency and a method, as a line of the report names them."""

    currency: str
    method: str


@dataclass
class Tally:
    """Rows, and what their amounts add up to."""

    rows: int = 0
    amount: Decimal = Decimal()

    def add(self, amount: Decimal | None) -> None:
        """Add a row. One whose amount cannot be read has None."""
        self.rows += 1
        if amount is not None:
            self.amount = EXACT.add(self.amount, amount)


@dataclass
class Report:
    """What an import does. Rows are numbered as in the source; the rows of `file` are written as they are found."""

    file: Path
    # What the name of a row is, such as line.
    unit: str
    tallies: dict[tuple[Name, str], Tally] = field(default_factory=dict)
    links: Counter[Outcome] = field(default_factory=Counter)
    refunds: Counter[str] = field(default_factory=Counter)
    # Rows about which something is assumed or changed, by what.
    assumed: Counter[str] = field(default_factory=Counter)
    facts: list[str] = field(default_factory=list)
    refusals: int = 0
    _open: ExitStack = field(default_factory=ExitStack)
    _writer: Any = None

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def read(self, name: Name, amount: Decimal | None) -> None:
        """Note a payment of the source."""
        self._tally(name, "read").add(amount)

    def settle(self, outcome: Outcome, name: Name, amount: Decimal | None) -> None:
        """Note what became of a payment."""
        self._tally(name, outcome).add(amount)

    def _tally(self, name: Name, column: str) -> Tally:
        return self.tallies.setdefault((name, column), Tally())

    def refuse(self, number: int | str, source_id: str, reason: str) -> None:
        """List a row that is left out; its number may be followed by the name of its table."""
        self.refusals += 1
        self._write("refused", number, source_id, "", reason)

    def assume(self, what: str, number: int, source_id: str, new_id: str, detail: str = "") -> None:
        """List a row that is recorded with something else than the source has."""
        self.assumed[what] += 1
        self._write("assumed", number, source_id, new_id, f"{what}{': ' if detail else ''}{detail}")

    def map(self, table: str, source_id: str, new_id: str) -> None:
        """List an id that is another one here."""
        self.assumed[f"rows of {table} have another id here"] += 1
        self._write("mapped", table, source_id, new_id, "")

    def _write(self, *row: Any) -> None:
        if self._writer is None:
            try:
                file = self.file.open("x", newline="", encoding="utf-8")
                self.file.chmod(0o600)
            except OSError as error:
                raise UnusableFile(f"{self.file} cannot be written: {error.strerror}. Name another: --list") from error
            self._writer = csv.writer(self._open.enter_context(file))
            self._writer.writerow(COLUMNS)
        self._writer.writerow(row)

    def flush(self) -> None:
        """Close the file of rows, so that it can be read."""
        self._open.close()

    @property
    def has_file(self) -> bool:
        """Tell whether any row was listed in the file."""
        return self._writer is not None

    def count(self, column: str) -> int:
        """Return how many payments were read, or had an outcome."""
        return sum(tally.rows for (_, name), tally in self.tallies.items() if name == column)

    def list_refused(self, limit: int) -> Iterator[str]:
        """Yield the first refused rows, each in one line; read them after `flush`."""
        if not self.has_file:
            return
        with self.file.open(newline="", encoding="utf-8") as file:
            refused = (row for row in csv.reader(file) if row[0] == "refused")
            for shown, (_, number, source_id, _, why) in enumerate(refused):
                if shown == limit:
                    yield f"... and {self.refusals - limit} more, which are in {self.file}"
                    return
                yield f"refused: {self.unit} {number}{f' ({source_id})' if source_id else ''}: {why}"

    def show(self) -> Iterator[str]:
        """Yield the report, line by line."""
        yield f"{self.count('read')} payments read"
        for outcome in Outcome:
            further = f"tickets: {self.links[outcome]}, refunds: {self.refunds[outcome]}"
            yield f"  {self.count(outcome)} {outcome}; {further}"
        yield from _align([HEADINGS, *self._list_tallies()])
        for fact in self.facts:
            yield f"assumed: {fact}"
        for what, rows in self.assumed.items():
            yield f"assumed: {rows} {what}"
        if self.has_file:
            yield f"Each row that was mapped, assumed or refused is in {self.file}"

    def _list_tallies(self) -> Iterator[list[str]]:
        for name in sorted({name for name, _ in self.tallies}):
            columns = [self.tallies.get((name, column), Tally()) for column in ("read", *Outcome)]
            digits = min((tally.amount.as_tuple().exponent for tally in columns if tally.rows), default=0)
            decimals = max(0, -int(digits))
            yield [*name, *(text for tally in columns for text in (str(tally.rows), f"{tally.amount:.{decimals}f}"))]


def _align(rows: list[list[str]]) -> Iterator[str]:
    """Yield rows as lines of text: names are aligned left and numbers right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        names = [text.ljust(width) for text, width in zip(row[:2], widths)]
        numbers = [text.rjust(width) for text, width in zip(row[2:], widths[2:])]
        yield "  ".join(names + numbers).rstrip()
