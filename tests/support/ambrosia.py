"""Databases of Ambrosia, another point of sale, with as much of its schema as an import reads"""
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

# The ids of its own methods.
CASH, CREDIT, DEBIT, BITCOIN = (
    "32332081-7a2b-4e67-a198-fddf2451f426", "6440df5d-c76c-4074-9256-dd2dccf8a50b",
    "0b571243-2143-4afc-a728-f6e5c4e8a9e1", "3ae8f71e-954a-4795-8531-368354c67ede",
)
MXN, USD = "beb95c15-cdcb-47c3-beba-5a47f360b999", "bccfc932-d89b-477a-b65b-04f97cae4aae"
JPY, KWD, EUR = "0" * 31 + "1", "0" * 31 + "2", "0" * 31 + "3"
NAMES = {1: ["Efectivo", "Tarjeta de Crédito", "Tarjeta de Débito"], 28: ["Cash", "Credit Card", "Debit Card"]}
CURRENCIES = {MXN: "MXN", USD: "USD", JPY: "JPY", KWD: "KWD", EUR: "EUR"}
BITCOIN_COLUMNS = (
    "satoshi_amount INTEGER, exchange_rate_at_payment REAL, payment_hash TEXT UNIQUE, exchange_rate_currency TEXT, "
    "fiat_amount_at_payment REAL"
)
SCHEMA = """
CREATE TABLE payment_methods (id BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE currency (id BLOB PRIMARY KEY, acronym TEXT(3) NOT NULL);
CREATE TABLE payments (
    id BLOB PRIMARY KEY, method_id BLOB NOT NULL, currency_id BLOB NOT NULL, transaction_id BLOB NOT NULL,
    amount REAL NOT NULL, date TEXT NOT NULL DEFAULT (datetime('now')) {further}
);
CREATE TABLE ticket_payments (payment_id BLOB NOT NULL, ticket_id BLOB NOT NULL);
"""


class Ambrosia:
    """A database of version 1, or of 28, in which payments have columns about bitcoin."""

    def __init__(self, path: Path, version: int = 28) -> None:
        self.path = path
        with self.connect() as connection:
            connection.executescript(SCHEMA.format(further=f", {BITCOIN_COLUMNS}" if version > 1 else ""))
            methods = zip((CASH, CREDIT, DEBIT), NAMES[version])
            connection.executemany("INSERT INTO payment_methods VALUES (?, ?)", [*methods, (BITCOIN, "BTC")])
            connection.executemany("INSERT INTO currency VALUES (?, ?)", CURRENCIES.items())

    @contextlib.contextmanager
    def connect(self) -> Any:
        """Open the database and commit at the end."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection, connection:
            yield connection

    def add(self, *payments: dict[str, Any]) -> None:
        """Add payments, in cash and in pesos unless they say otherwise."""
        with self.connect() as connection:
            for payment in payments:
                row = {"method_id": CASH, "currency_id": MXN, "transaction_id": "", "date": "2025-03-01 12:00:00"}
                row |= payment
                values = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO payments ({', '.join(row)}) VALUES ({values})", [*row.values()])

    def link(self, *links: tuple[Any, Any]) -> None:
        """Add links, each the id of a payment and that of a ticket."""
        with self.connect() as connection:
            connection.executemany("INSERT INTO ticket_payments VALUES (?, ?)", links)
