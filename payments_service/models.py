"""The tables as Peewee sees them. `migrations` builds them; the constraints there are where truth is kept."""
from datetime import datetime, timezone
from typing import Any

from peewee import (
    BigAutoField, BigIntegerField, CompositeKey, Field, ForeignKeyField, IntegerField, Model, SmallIntegerField,
    TextField, UUIDField,
)

from .database import current


class MomentField(Field):
    """A moment, stored in UTC and with its zone."""

    field_type = "TIMESTAMPTZ"

    def db_value(self, value: datetime) -> str:
        """Return ISO 8601 text of one width, so that its order is the order of time."""
        return value.astimezone(timezone.utc).isoformat(sep=" ", timespec="microseconds")

    def python_value(self, value: Any) -> datetime:
        """Return the moment in UTC."""
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(timezone.utc)


class Table(Model):
    """What every table has: the current application's database."""

    class Meta:
        database = current
        legacy_table_names = False


class Method(Table):
    """How a payment was made."""

    id = UUIDField(primary_key=True)
    name = TextField(unique=True)


class Currency(Table):
    """What a payment was made in."""

    id = UUIDField(primary_key=True)
    acronym = TextField(unique=True)
    decimals = SmallIntegerField()


class Payment(Table):
    """Money that was taken."""

    id = UUIDField(primary_key=True)
    method = ForeignKeyField(Method, index=False)
    currency = ForeignKeyField(Currency, index=False)
    transaction_id = TextField(unique=True)
    minor_units = BigIntegerField()
    # Rises by one with each change.
    version = IntegerField()
    created_at = MomentField()
    changed_at = MomentField()

    class Meta:
        # With the id, so that each leads through a list in the list's own order.
        indexes = ((("method", "id"), False), (("currency", "id"), False), (("created_at", "id"), False))


class TicketPayment(Table):
    """That a payment paid a ticket, or a part of it."""

    payment = ForeignKeyField(Payment, index=False)
    ticket_id = TextField()
    linked_at = MomentField()

    class Meta:
        primary_key = CompositeKey("payment", "ticket_id")
        indexes = ((("ticket_id", "payment"), False),)


class History(Table):
    """What was done to a payment. The database refuses to change or delete it."""

    id = BigAutoField()
    payment_id = UUIDField()
    at = MomentField()
    user_id = TextField(null=True)
    request_id = TextField()
    action = TextField()
    # The payment's or the link's values as JSON text.
    before = TextField(null=True)
    after = TextField(null=True)

    class Meta:
        indexes = ((("payment_id", "id"), False),)


class IdempotencyKey(Table):
    """That a request was answered, so that the same one again gets the same answer."""

    user_id = TextField()
    method = TextField()
    path = TextField()
    key = TextField()
    body_sha256 = TextField()
    status = SmallIntegerField(null=True)
    answer = TextField(null=True)
    created_at = MomentField(index=True)

    class Meta:
        primary_key = CompositeKey("user_id", "method", "path", "key")
