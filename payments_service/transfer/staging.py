"""A private file for what was read of a source: a million payments need no memory, and are checked before any write."""
import functools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from uuid import UUID

from ..store.imports import NewRefund, NewTicket

SCHEMA = """
CREATE TABLE payment (
    number INTEGER PRIMARY KEY, id TEXT, source_id TEXT, method_id TEXT, currency_id TEXT, transaction_id TEXT,
    minor_units INTEGER, tip INTEGER, created_at TEXT, user_id TEXT, source TEXT, outcome TEXT
);
CREATE TABLE ticket (
    number INTEGER, payment_number INTEGER, payment_id TEXT, ticket_id TEXT, share INTEGER,
    PRIMARY KEY (payment_id, ticket_id)
) WITHOUT ROWID;
CREATE TABLE refund (
    number INTEGER PRIMARY KEY, id TEXT, payment_id TEXT, method_id TEXT, currency_id TEXT, minor_units INTEGER,
    reason TEXT, transaction_id TEXT, ticket_id TEXT, user_id TEXT, at TEXT
);
CREATE TABLE seen (content TEXT PRIMARY KEY, times INTEGER) WITHOUT ROWID
"""
READ = "number, id, source_id, method_id, currency_id, transaction_id, minor_units, tip, created_at, user_id, source"
REFUND = "refund.number, refund.id, payment_id, refund.method_id, refund.currency_id, refund.minor_units, reason, "
REFUND += "refund.transaction_id, ticket_id, refund.user_id, at"
# The numbers of the payments of which an earlier one has the same id or transaction_id.
REPEATED = """
CREATE TABLE repeated_{column} AS SELECT number FROM payment
WHERE {column} IS NOT NULL AND number NOT IN (
    SELECT min(number) FROM payment WHERE {column} IS NOT NULL GROUP BY {column}
)
"""
# The payment of a ticket has its id and, where the ticket stands beside its payment, the number of that row too.
LOST_TICKET = "payment_id NOT IN (SELECT id FROM payment) OR payment_number NOT IN (SELECT number FROM payment)"
# Where the digits of an id are between its hyphens, and how many.
UUID_GROUPS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
DROP = (
    "UPDATE payment SET source = json_set(coalesce(source, '{}'), '$.transaction_id', transaction_id), "
    "transaction_id = NULL WHERE"
)


class StagedPayment(NamedTuple):
    """A payment of the source that can be recorded, with its number there and its id as text.

    Amounts are in minor units. Without a transaction_id it gets its own id as such.
    """

    number: int
    id: UUID
    source_id: str
    method_id: UUID
    currency_id: UUID
    transaction_id: str | None
    minor_units: int
    tip: int
    created_at: datetime
    user_id: str | None
    # JSON text.
    source: str | None

    def store(self) -> tuple[Any, ...]:
        """Return the columns of its row."""
        *values, created_at, user_id, source = self
        texts = [value.hex if isinstance(value, UUID) else value for value in values]
        return (*texts, created_at.isoformat(), user_id, source)

    @classmethod
    def load(cls, row: tuple[Any, ...]) -> "StagedPayment":
        """Return the payment of a row."""
        number, payment_id, source_id, method_id, currency_id, *others, created_at, user_id, source = row
        found_id, known = UUID(payment_id), (_read_repeated(method_id), _read_repeated(currency_id))
        values = (number, found_id, source_id, *known, *others, datetime.fromisoformat(created_at), user_id, source)
        return cls._make(values)


class StagedRefund(NamedTuple):
    """A refund of the source, with its number there. Its amount is in minor units."""

    number: int
    id: UUID
    payment_id: UUID
    method_id: UUID
    currency_id: UUID
    minor_units: int
    reason: str | None
    transaction_id: str | None
    ticket_id: str | None
    user_id: str | None
    at: datetime

    @classmethod
    def load(cls, row: Sequence[Any]) -> "StagedRefund":
        """Return the refund of a row."""
        number, *ids, minor_units, reason, transaction_id, ticket_id, user_id, at = row
        texts = reason, transaction_id, ticket_id, user_id
        return cls._make((number, *map(UUID, ids), minor_units, *texts, datetime.fromisoformat(at)))


class RefundedPayment(NamedTuple):
    """The payment of a refund, all None if it is not staged; and whether an earlier refund has the refund's id."""

    currency_id: UUID | None
    minor_units: int
    outcome: str | None
    is_repeated: bool


# There are few methods and currencies.
_read_repeated = functools.lru_cache(maxsize=1000)(UUID)


class Stage:
    """The staged payments and tickets. The file has no name, and is gone at the end."""

    def __enter__(self) -> "Stage":
        # SQLite takes "" for a temporary file.
        self.connection = sqlite3.connect("", isolation_level=None, uri=True)
        self.connection.execute("PRAGMA journal_mode = off")
        self.connection.executescript(SCHEMA)
        self.connection.execute("BEGIN")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.connection.close()

    @contextmanager
    def attach(self, path: Path) -> Iterator[None]:
        """Let statements read another database as `source`, and no more than read it; raises `sqlite3.Error`."""
        self.connection.execute("COMMIT")
        self.connection.execute("ATTACH ? AS source", (f"{path.absolute().as_uri()}?mode=ro",))
        try:
            self.connection.execute("BEGIN")
            yield
            self.connection.execute("COMMIT")
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            self.connection.execute("DETACH source")
        self.connection.execute("BEGIN")

    def add(self, payment: StagedPayment) -> None:
        """Add a payment."""
        self.connection.execute(
            f"INSERT INTO payment ({READ}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", payment.store()
        )

    def add_ticket(
        self, number: int, payment_id: UUID, ticket_id: str, share: int | None = None, payment_number: int | None = None
    ) -> bool:
        """Add a ticket of a payment, and tell whether it is not there yet.

        `payment_number` is the number of the payment, None where the source names it by its id alone.
        """
        row = number, payment_number, payment_id.hex, ticket_id, share
        added = self.connection.execute("INSERT OR IGNORE INTO ticket VALUES (?, ?, ?, ?, ?)", row)
        return added.rowcount == 1

    def add_refund(self, refund: StagedRefund) -> None:
        """Add a refund."""
        number, *values, at = refund
        texts = [value.hex if isinstance(value, UUID) else value for value in values]
        row = (number, *texts, at.isoformat())
        self.connection.execute(f"INSERT INTO refund VALUES ({', '.join('?' * len(row))})", row)

    def count_seen(self, content: str) -> int:
        """Count a line of the source by what it says; return how many say the same so far."""
        counted = "INSERT INTO seen VALUES (?, 1) ON CONFLICT (content) DO UPDATE SET times = times + 1 RETURNING times"
        ((times,),) = self.connection.execute(counted, (content,)).fetchall()
        return int(times)

    def find_repeated(self, column: str) -> Iterator[StagedPayment]:
        """Find the payments whose `id` or `transaction_id` an earlier one has, and yield them."""
        self.connection.execute(REPEATED.format(column=column))
        rows = self.connection.execute(f"SELECT {READ} FROM payment WHERE number IN repeated_{column} ORDER BY number")
        yield from map(StagedPayment.load, rows)

    def remove_repeated(self) -> None:
        """Remove the payments that were found by their ids."""
        self.connection.execute("DELETE FROM payment WHERE number IN repeated_id")

    def drop_repeated(self) -> None:
        """Let the payments that were found by their transaction_ids have none."""
        self.connection.execute(f"{DROP} number IN repeated_transaction_id")

    def drop_transaction_ids(self, numbers: Iterable[int]) -> None:
        """Let payments have no transaction_id. What they had is kept with what else the source knows."""
        self.connection.executemany(f"{DROP} number = ?", ((number,) for number in numbers))

    def find_others_ids(self, limit: int) -> list[StagedPayment]:
        """Return payments whose transaction_id is the id of another one that has its own id as such."""
        id_of_other = " || '-' || ".join(f"substr(other.id, {start}, {length})" for start, length in UUID_GROUPS)
        rows = self.connection.execute(
            f"SELECT {READ} FROM payment WHERE outcome IS NULL AND EXISTS ("
            "SELECT 1 FROM payment AS other WHERE other.id = replace(payment.transaction_id, '-', '') "
            f"AND {id_of_other} = payment.transaction_id AND other.transaction_id IS NULL AND other.outcome IS NULL) "
            "ORDER BY number LIMIT ?",
            (limit,),
        )
        return [StagedPayment.load(row) for row in rows]

    def settle(self, number: int, outcome: str) -> None:
        """Note what became of a payment, by its number."""
        self.connection.execute("UPDATE payment SET outcome = ? WHERE number = ?", (outcome, number))

    def iterate(self, size: int) -> Iterator[list[StagedPayment]]:
        """Yield the payments of which nothing became yet in batches, in the order of their ids."""
        last = ""
        while True:
            rows = self.connection.execute(
                f"SELECT {READ} FROM payment WHERE outcome IS NULL AND id > ? ORDER BY id LIMIT ?", (last, size)
            ).fetchall()
            if not rows:
                return
            last = rows[-1][1]
            yield [StagedPayment.load(row) for row in rows]

    def read_others(self) -> Iterator[StagedPayment]:
        """Yield the payments of which nothing became yet, in the order of the source, which is faster."""
        yield from map(
            StagedPayment.load,
            self.connection.execute(f"SELECT {READ} FROM payment WHERE outcome IS NULL ORDER BY number"),
        )

    def index(self) -> None:
        """Make reading in the order of ids fast. Call it when everything is added."""
        for table, column in (("payment", "id"), ("refund", "id"), ("refund", "payment_id")):
            self.connection.execute(f"CREATE INDEX {table}_{column} ON {table} ({column})")

    def read_tickets(self, payments: Iterable[StagedPayment]) -> dict[UUID, list[NewTicket]]:
        """Return the tickets of payments, in the order of the source."""
        ids = [payment.id.hex for payment in payments]
        tickets: dict[UUID, list[NewTicket]] = {}
        for payment_id, ticket_id, share in self.connection.execute(
            f"SELECT payment_id, ticket_id, share FROM ticket WHERE payment_id IN ({', '.join('?' * len(ids))}) "
            "ORDER BY number",
            ids,
        ):
            tickets.setdefault(UUID(payment_id), []).append(NewTicket(ticket_id, share))
        return tickets

    def read_refunds(self) -> Iterator[tuple[StagedRefund, RefundedPayment]]:
        """Yield the refunds with their payments, those of a payment together."""
        repeated = "refund.number > (SELECT min(number) FROM refund AS same WHERE same.id = refund.id)"
        outcome = "CASE WHEN payment.id IS NOT NULL THEN coalesce(outcome, 'recorded') END"
        for *row, currency_id, minor_units, found, is_repeated in self.connection.execute(
            f"SELECT {REFUND}, payment.currency_id, payment.minor_units, {outcome}, {repeated} FROM refund "
            "LEFT JOIN payment ON payment.id = payment_id ORDER BY payment_id, refund.number"
        ):
            paid = UUID(currency_id) if currency_id else None
            yield StagedRefund.load(row), RefundedPayment(paid, minor_units or 0, found, bool(is_repeated))

    def remove_refunds(self, numbers: Iterable[int]) -> None:
        """Remove refunds."""
        self.connection.executemany("DELETE FROM refund WHERE number = ?", ((number,) for number in numbers))

    def read_refunds_of(self, payments: Iterable[StagedPayment]) -> dict[UUID, list[NewRefund]]:
        """Return the refunds of payments, in the order of the source."""
        ids = [payment.id.hex for payment in payments]
        refunds: dict[UUID, list[NewRefund]] = {}
        for row in self.connection.execute(
            f"SELECT {REFUND} FROM refund WHERE payment_id IN ({', '.join('?' * len(ids))}) ORDER BY number", ids
        ):
            refund = StagedRefund.load(row)
            new = NewRefund(**{name: getattr(refund, name) for name in NewRefund._fields})
            refunds.setdefault(refund.payment_id, []).append(new)
        return refunds

    def find_lost_tickets(self) -> Iterator[tuple[int, bool, str, str]]:
        """Yield the tickets whose payment is not staged: their number, whether it is theirs alone, and both ids."""
        yield from self.connection.execute(
            f"SELECT number, payment_number IS NULL, payment_id, ticket_id FROM ticket WHERE {LOST_TICKET} "
            "ORDER BY number"
        )

    def remove_lost_tickets(self) -> None:
        """Remove the tickets whose payment is not staged."""
        self.connection.execute(f"DELETE FROM ticket WHERE {LOST_TICKET}")

    def count_tickets(self) -> dict[str, int]:
        """Return how many tickets the payments of each outcome have, those without one as recorded."""
        return dict(
            self.connection.execute(
                "SELECT coalesce(outcome, 'recorded') AS what, count(*) FROM ticket "
                "JOIN payment ON payment.id = payment_id GROUP BY what"
            )
        )

    def count(self) -> int:
        """Return how many payments are staged."""
        return int(self.connection.execute("SELECT count(*) FROM payment").fetchone()[0])
