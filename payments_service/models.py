"""The tables as Peewee sees them. The migrations create them, with the constraints that keep the data valid."""
from datetime import datetime, timezone
from typing import Any

from peewee import (
    BigAutoField, BigIntegerField, CompositeKey, Field, ForeignKeyField, IntegerField, Model, SmallIntegerField,
    TextField, UUIDField,
)

from .database import current


class TimestampField(Field):
    """A timestamp in UTC."""

    field_type = "TIMESTAMPTZ"

    def db_value(self, value: datetime) -> str:
        """Return ISO 8601 text of fixed width, so that text sorts by time."""
        return value.astimezone(timezone.utc).isoformat(sep=" ", timespec="microseconds")

    def python_value(self, value: Any) -> datetime:
        """Return an aware datetime in UTC."""
        timestamp = datetime.fromisoformat(value) if isinstance(value, str) else value
        return timestamp.astimezone(timezone.utc)


class Table(Model):
    """Base of all tables, in the current application's database."""

    class Meta:
        database = current
        legacy_table_names = False


class Method(Table):
    """A payment method."""

    id = UUIDField(primary_key=True)
    name = TextField(unique=True)


class Currency(Table):
    """A currency; `decimals` is the number of digits of its minor units."""

    id = UUIDField(primary_key=True)
    acronym = TextField(unique=True)
    decimals = SmallIntegerField()


class Payment(Table):
    """A payment; its amount is in the minor units of its currency."""

    id = UUIDField(primary_key=True)
    method = ForeignKeyField(Method, index=False)
    currency = ForeignKeyField(Currency, index=False)
    transaction_id = TextField(unique=True)
    minor_units = BigIntegerField()
    # Increases by one with each change; the ETag.
    version = IntegerField()
    created_at = TimestampField()
    changed_at = TimestampField()

    class Meta:
        # Each ends with the id, so that it serves a list in the order of ids.
        indexes = ((("method", "id"), False), (("currency", "id"), False), (("created_at", "id"), False))


class TicketPayment(Table):
    """A link: a payment paid a ticket, or a part of it."""

    payment = ForeignKeyField(Payment, index=False)
    ticket_id = TextField()
    linked_at = TimestampField()

    class Meta:
        primary_key = CompositeKey("payment", "ticket_id")
        indexes = ((("ticket_id", "payment"), False),)


class History(Table):
    """An entry of a payment's history. Triggers keep it from being changed or deleted."""

    id = BigAutoField()
    payment_id = UUIDField()
    at = TimestampField()
    user_id = TextField(null=True)
    request_id = TextField()
    action = TextField()
    # The payment's or the link's fields as JSON text.
    before = TextField(null=True)
    after = TextField(null=True)

    class Meta:
        indexes = ((("payment_id", "id"), False),)


class IdempotencyKey(Table):
    """The response to a request with an Idempotency-Key, for its retries."""

    method = TextField()
    path = TextField()
    key = TextField()
    # The SHA-256 of the request's values; version 1.2 stored that of the body's bytes.
    fingerprint = TextField()
    status = SmallIntegerField(null=True)
    answer = TextField(null=True)
    created_at = TimestampField()
    # Orders the keys whatever the clock says. Keys that are stored at the same time may have the same number.
    number = BigIntegerField(index=True)

    class Meta:
        primary_key = CompositeKey("method", "path", "key")


# The names of all tables of the service, with the one in which Peewee's runner keeps what it has run.
TABLES = [*(table._meta.table_name for table in Table.__subclasses__()), "schema_migration"]
