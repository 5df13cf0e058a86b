"""Reading the database of Ambrosia, a point of sale on SQLite, in each version of its schema."""
import sqlite3
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from ..codec import encode, exact_number
from ..errors import UnusableFile
from .importing import (
    BLANK_TRANSACTION_ID, INVALID_TRANSACTION_ID, ROWS_PER_STEP, UUID_TEXT, FoundCurrency, Import, Refused,
    check_minor_units, check_moment, check_ticket_id, check_transaction_id, make_id,
)
from .report import Name, Outcome
from .staging import Stage, StagedPayment

# The columns that every version has, and those that later ones add to payments.
TABLES = {
    "payments": ["id", "method_id", "currency_id", "transaction_id", "amount", "date"],
    "ticket_payments": ["payment_id", "ticket_id"],
    "payment_methods": ["id", "name"],
    "currency": ["id", "acronym"],
}
BITCOIN_COLUMNS = [
    "satoshi_amount", "exchange_rate_at_payment", "payment_hash", "exchange_rate_currency", "fiat_amount_at_payment",
]
# Its first versions named these methods in Spanish. Later ones rename them, by their ids.
RENAMED_METHODS = {
    "32332081-7a2b-4e67-a198-fddf2451f426": "Cash",
    "6440df5d-c76c-4074-9256-dd2dccf8a50b": "Credit Card",
    "0b571243-2143-4afc-a728-f6e5c4e8a9e1": "Debit Card",
}
UUID_BYTES = 16
# An amount is a binary number there. It may differ by this much of a minor unit from the amount that it stands for.
TOLERANCE = Fraction(1, 10**6)
# What that system shows of an amount, whatever its currency.
SHOWN_DECIMALS = 2
NO_METHOD = "its method is not in the table payment_methods"
NO_CURRENCY = "its currency is not in the table currency"
REPEATED_TICKET = "links are there more than once and recorded once"


class SourceId(NamedTuple):
    """An id there as text, with hyphens if it is a UUID, and the UUID that it is here."""

    text: str
    id: UUID


def read(path: Path, this_import: Import) -> None:
    """Stage the payments of a database and their tickets; raises `UnusableFile`.

    The tables are copied first, in one read transaction: whoever uses the database waits no longer than that takes.
    """
    connection = this_import.stage.connection
    further = _copy_tables(path, this_import.stage)
    # By default, text that is not UTF-8 is an error.
    connection.text_factory = decode
    reader = _Reader(this_import, further)
    reader.read_payments()
    reader.read_tickets()
    reader.describe()
    connection.text_factory = str


def _copy_tables(path: Path, stage: Stage) -> list[str]:
    """Copy the tables into the stage, and return the columns about bitcoin that payments have."""
    if not path.is_file():
        raise UnusableFile(f"there is no file {path}")
    try:
        with stage.attach(path):
            execute = stage.connection.execute
            further: list[str] = []
            for table, columns in TABLES.items():
                found = {name for _, name, *_ in execute(f"PRAGMA source.table_info({table})")}
                if missing := [name for name in columns if name not in found]:
                    lacking = f"the column {missing[0]} in {table}" if found else f"the table {table}"
                    raise UnusableFile(f"{path} is no database of Ambrosia: it lacks {lacking}")
                if table == "payments":
                    further = [name for name in BITCOIN_COLUMNS if name in found]
                    columns = [*columns, *further]
                selected = f"SELECT rowid AS number, {', '.join(columns)} FROM source.{table}"
                execute(f"CREATE TABLE source_{table} AS {selected} ORDER BY rowid")
            return further
    except sqlite3.Error as error:
        raise UnusableFile(f"{path} cannot be read: {error}") from error


class _Reader:
    """Reads the copied tables."""

    def __init__(self, this_import: Import, bitcoin_columns: list[str]) -> None:
        self.this_import = this_import
        self.report = this_import.report
        self.execute = this_import.stage.connection.execute
        self.bitcoin_columns = bitcoin_columns
        # Their ids and names, by the ids there as text.
        self.methods = self._read_names("payment_methods")
        self.currencies = self._read_names("currency")
        # What they are here, once a payment has them.
        self.found_methods: dict[str, UUID] = {}
        self.found_currencies: dict[str, FoundCurrency] = {}

    def _read_names(self, table: str) -> dict[str, tuple[SourceId, str]]:
        names = {}
        for stored, name in self.execute(f"SELECT id, {TABLES[table][1]} FROM source_{table} WHERE id IS NOT NULL"):
            found = read_id(table, stored)
            names[found.text] = found, read_text(name)
        return names

    def read_payments(self) -> None:
        """Stage every payment."""
        columns = ", ".join(["number", *TABLES["payments"], *self.bitcoin_columns])
        total = int(self.execute("SELECT count(*) FROM source_payments").fetchone()[0])
        for done, row in enumerate(self.execute(f"SELECT {columns} FROM source_payments ORDER BY number"), 1):
            number, stored_id, method, currency, transaction_id, amount, date, *bitcoin = row
            try:
                if not read_text(stored_id).strip():
                    raise Refused("it has no id")
                found_id = read_id("payments", stored_id)
                found = self._find_currency(currency)
                method_id = self._find_method(method)
                minor_units = to_minor_units(amount, found)
                created_at = read_time(date)
            except Refused as error:
                name = Name(_name(self.currencies, currency), _name(self.methods, method))
                self.this_import.refuse(number, read_text(stored_id), str(error), name, read_amount(amount))
                continue
            kept = {name: show(value) for name, value in zip(self.bitcoin_columns, bitcoin) if value is not None}
            if str(found_id.id) != found_id.text:
                self.report.map("payments", found_id.text, str(found_id.id))
                kept["id"] = found_id.text
            text = self._read_transaction_id(number, found_id, transaction_id, kept)
            source = encode(kept).decode() if kept else None
            amounts = minor_units, 0
            self.this_import.add(
                StagedPayment(
                    number, found_id.id, found_id.text, method_id, found.id, text, *amounts, created_at, None, source
                )
            )
            if done % ROWS_PER_STEP == 0 or done == total:
                self.this_import.progress("Reading", done, total)

    def _read_transaction_id(self, number: int, found_id: SourceId, stored: Any, kept: dict[str, Any]) -> str | None:
        text = read_text(stored)
        try:
            checked = check_transaction_id(text)
        except Refused:
            self.report.assume(INVALID_TRANSACTION_ID, number, found_id.text, str(found_id.id), repr(text))
            kept["transaction_id"] = text
            return None
        if checked is None:
            self.report.assume(BLANK_TRANSACTION_ID, number, found_id.text, str(found_id.id))
        return checked

    def _find_method(self, stored: Any) -> UUID:
        key = read_key(stored)
        if key not in self.found_methods:
            if key not in self.methods:
                raise Refused(NO_METHOD)
            found, name = self.methods[key]
            known = RENAMED_METHODS.get(key, name)
            self.found_methods[key] = self.this_import.catalogue.find_method(known, found.id)
        return self.found_methods[key]

    def _find_currency(self, stored: Any) -> FoundCurrency:
        key = read_key(stored)
        if key not in self.found_currencies:
            if key not in self.currencies:
                raise Refused(NO_CURRENCY)
            _, acronym = self.currencies[key]
            self.found_currencies[key] = self.this_import.catalogue.find_currency(acronym)
        return self.found_currencies[key]

    def read_tickets(self) -> None:
        """Stage every ticket of a payment."""
        for number, payment_id, ticket_id in self.execute(
            "SELECT number, payment_id, ticket_id FROM source_ticket_payments ORDER BY number"
        ):
            text = read_text(ticket_id)
            try:
                check_ticket_id(text)
            except Refused as error:
                self.report.links[Outcome.REFUSED] += 1
                self.report.refuse(f"{number} of ticket_payments", read_text(payment_id), str(error))
                continue
            found = read_id("payments", payment_id)
            if not self.this_import.stage.add_ticket(number, found.id, text):
                self.report.assume(REPEATED_TICKET, number, found.text, str(found.id), text)

    def describe(self) -> None:
        """Report what the methods and currencies of payments are here, and how their amounts and times were read."""
        self.report.facts.append("times there are in UTC")
        self.report.facts += self.this_import.catalogue.describe_new()
        self._describe_methods()
        self._describe_currencies()

    def _describe_methods(self) -> None:
        catalogue, facts = self.this_import.catalogue, self.report.facts
        for key, method_id in self.found_methods.items():
            _, name = self.methods[key]
            if str(method_id) != key:
                self.report.map("payment_methods", key, str(method_id))
            if name != catalogue.methods[method_id]:
                facts.append(f"the method {name!r} is {catalogue.methods[method_id]!r} here")

    def _describe_currencies(self) -> None:
        facts = self.report.facts
        for key, currency in self.found_currencies.items():
            if str(currency.id) != key:
                self.report.map("currency", key, str(currency.id))
            if currency.decimals != SHOWN_DECIMALS:
                facts.append(
                    f"an amount of 15.0 there is 15 {currency.acronym}: that system stores what was typed, and shows "
                    f"{SHOWN_DECIMALS} decimals whatever the currency; here, {currency.acronym} has {currency.decimals}"
                )
        unused = len(self.currencies) - len(self.found_currencies)
        facts.append(f"currencies that no payment has are left out: {unused}")


def read_text(stored: Any) -> str:
    """Return a value as text, "" for null. Sixteen bytes that are no text are a UUID."""
    if isinstance(stored, bytes):
        if len(stored) == UUID_BYTES and not stored.isascii():
            return str(UUID(bytes=stored))
        return decode(stored)
    return "" if stored is None else str(stored)


def decode(text: bytes) -> str:
    """Return bytes as text. Those that are not UTF-8 are escaped."""
    return text.decode(errors="backslashreplace")


def read_key(stored: Any) -> str:
    """Return an id as text, with hyphens if it is a UUID."""
    text = read_text(stored)
    return str(UUID(text)) if UUID_TEXT.fullmatch(text) else text


def read_id(table: str, stored: Any) -> SourceId:
    """Return an id there, and the UUID that it is here: itself, or one that is made of it."""
    key = read_key(stored)
    return SourceId(key, UUID(key) if UUID_TEXT.fullmatch(key) else make_id(table, key))


def read_time(stored: Any) -> datetime:
    """Return a time, which is in UTC unless it says otherwise; raises `Refused`."""
    text = read_text(stored)
    try:
        moment = datetime.fromisoformat(text)
        return check_moment(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
    except (ValueError, OverflowError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(f"its date {text!r} is no time") from None


def read_amount(stored: Any) -> Decimal | None:
    """Return a number as the decimal that it is written as, None for anything else."""
    found = Decimal(repr(stored)) if isinstance(stored, (int, float)) else None
    return found if found is not None and found.is_finite() else None


def to_minor_units(stored: Any, currency: FoundCurrency) -> int:
    """Return an amount in minor units; raises `Refused` for one that is not exact."""
    if not isinstance(stored, (int, float)) or read_amount(stored) is None:
        raise Refused(f"its amount {read_text(stored)!r} is no number")
    exact = Fraction(stored) * 10**currency.decimals
    minor_units = round(exact)
    if abs(exact - minor_units) > TOLERANCE:
        raise Refused(f"its amount {stored!r} is not exact: {currency.acronym} has {currency.decimals} decimals")
    return check_minor_units(minor_units, currency.decimals)


def show(stored: Any) -> Any:
    """Return a value for JSON: a number keeps the digits that it is written with."""
    number = read_amount(stored)
    return read_text(stored) if number is None else exact_number(f"{number:f}")


def _name(names: dict[str, tuple[SourceId, str]], stored: Any) -> str:
    _, name = names.get(read_key(stored), (None, "?"))
    return name or "?"
