"""The tables as Peewee sees them. `migrations` builds them; the constraints there are where truth is kept."""
from datetime import datetime, timezone

from peewee import BigIntegerField, CompositeKey, Field, ForeignKeyField, Model, SmallIntegerField, TextField, UUIDField

from .database import current


class MomentField(Field):
    """A moment, stored in UTC and with its zone."""

    field_type = "TIMESTAMPTZ"

    def db_value(self, value: datetime) -> str:
        """Return ISO 8601 text of one width, so that its order is the order of time."""
        return value.astimezone(timezone.utc).isoformat(sep=" ", timespec="microseconds")


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
    method = ForeignKeyField(Method)
    currency = ForeignKeyField(Currency)
    transaction_id = TextField(unique=True)
    minor_units = BigIntegerField()


class TicketPayment(Table):
    """That a payment paid a ticket, or a part of it."""

    payment = ForeignKeyField(Payment, index=False)
    ticket_id = TextField(index=True)
    linked_at = MomentField()

    class Meta:
        primary_key = CompositeKey("payment", "ticket_id")
