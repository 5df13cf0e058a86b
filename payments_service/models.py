"""The tables as Peewee sees them. The migrations create them, with the constraints that keep the data valid."""
from datetime import datetime, timezone
from typing import Any

from peewee import (
    BigAutoField, BigIntegerField, BooleanField, CompositeKey, DateField, Field, ForeignKeyField, IntegerField, Model,
    SmallIntegerField, TextField, UUIDField,
)

from .database import current


class TimestampField(Field):
    """A timestamp in UTC."""

    field_type = "TIMESTAMPTZ"

    def db_value(self, value: datetime) -> str:
        """Return ISO 8601 text of fixed width, so that text sorts by time."""
        return value.astimezone(timezone.utc).isoformat(sep=" ", timespec="microseconds")

    def python_value(self, value: Any) -> Any:
        """Return an aware datetime in UTC, None for null."""
        if value is None:
            return None
        timestamp: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
        return timestamp.astimezone(timezone.utc)


class Table(Model):
    """Base of all tables, in the current application's database."""

    class Meta:
        database = current
        legacy_table_names = False


class Method(Table):
    """A payment method; `cash` says whether its money is in a drawer that is counted."""

    id = UUIDField(primary_key=True)
    name = TextField(unique=True)
    cash = BooleanField()


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
    # What all its refunds and all shares of its tickets add up to, and the tip. The last two are parts of the amount.
    refunded_units = BigIntegerField()
    tip_units = BigIntegerField()
    allocated_units = BigIntegerField()

    class Meta:
        # Each ends with the id, so that it serves a list in the order of ids.
        indexes = ((("method", "id"), False), (("currency", "id"), False), (("created_at", "id"), False))


class TicketPayment(Table):
    """A link: a payment paid a ticket, or a part of it."""

    payment = ForeignKeyField(Payment, index=False)
    ticket_id = TextField()
    linked_at = TimestampField()
    # How much of the payment goes to the ticket, null if nobody said.
    share_units = BigIntegerField(null=True)

    class Meta:
        primary_key = CompositeKey("payment", "ticket_id")
        indexes = ((("ticket_id", "payment"), False),)


class Refund(Table):
    """Money of a payment that was given back, in the minor units of the payment's currency."""

    id = UUIDField(primary_key=True)
    payment = ForeignKeyField(Payment, index=False)
    # How it was given back, which need not be how it was paid.
    method = ForeignKeyField(Method, index=False)
    minor_units = BigIntegerField()
    reason = TextField(null=True)
    transaction_id = TextField(null=True)
    # A ticket that was linked to the payment at that time, and may be unlinked since.
    ticket_id = TextField(null=True)
    user_id = TextField(null=True)
    at = TimestampField()
    closing = BigIntegerField()

    class Meta:
        indexes = ((("payment", "id"), False),)


class History(Table):
    """An entry of the history. Triggers keep it from being changed or deleted."""

    id = BigAutoField()
    # Null for a cash movement, which belongs to no payment.
    payment_id = UUIDField(null=True)
    at = TimestampField()
    user_id = TextField(null=True)
    request_id = TextField()
    action = TextField()
    # The payment's or the link's fields as JSON text.
    before = TextField(null=True)
    after = TextField(null=True)
    # The number of the closing that was open. 0 for an entry that is older than all closings.
    closing = BigIntegerField()

    class Meta:
        indexes = ((("payment_id", "id"), False), (("closing", "id"), False))


class OpenClosing(Table):
    """The one row with the number of the closing that is open. It closes next."""

    id = SmallIntegerField(primary_key=True)
    number = BigIntegerField()


class Posting(Table):
    """A signed change of money, which belongs to one closing. Triggers keep it from being changed or deleted."""

    id = BigAutoField()
    # Null for what was carried: it adds up many payments.
    history_id = BigIntegerField(null=True)
    method = ForeignKeyField(Method, index=False)
    currency = ForeignKeyField(Currency, index=False)
    user_id = TextField(null=True)
    kind = TextField()
    closing = BigIntegerField()
    business_date = DateField()
    minor_units = BigIntegerField()
    # What of it is a tip.
    tip_units = BigIntegerField()

    class Meta:
        indexes = ((("closing", "id"), False), (("business_date",), False))


class Closing(Table):
    """A closing: its totals never change. Triggers keep it from being changed or deleted, and its lines too."""

    number = BigIntegerField(primary_key=True)
    closed_at = TimestampField()
    user_id = TextField(null=True)
    business_date = DateField()
    previous_hash = TextField(null=True)
    # The SHA-256 of its archive.
    hash = TextField(unique=True)


class ClosingLine(Table):
    """The totals of a method and currency in a closing, in minor units, with the names that they had."""

    closing = BigIntegerField()
    method = ForeignKeyField(Method, index=False)
    currency = ForeignKeyField(Currency, index=False)
    method_name = TextField()
    cash = BooleanField()
    currency_acronym = TextField()
    decimals = SmallIntegerField()
    opening = BigIntegerField()
    payments = BigIntegerField()
    payments_count = IntegerField()
    corrections = BigIntegerField()
    corrections_count = IntegerField()
    refunds = BigIntegerField()
    refunds_count = IntegerField()
    paid_in = BigIntegerField()
    paid_out = BigIntegerField()
    expected = BigIntegerField()
    counted = BigIntegerField(null=True)
    remaining = BigIntegerField()
    tips = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("closing", "method", "currency")


class ClosingUser(Table):
    """What a user took by a method and in a currency, in a closing."""

    id = BigAutoField()
    closing = BigIntegerField()
    user_id = TextField(null=True)
    method = ForeignKeyField(Method, index=False)
    currency = ForeignKeyField(Currency, index=False)
    takings = BigIntegerField()
    tips = BigIntegerField()

    class Meta:
        indexes = ((("closing", "id"), False),)


class CashMovement(Table):
    """Cash that was paid into the drawer or out of it. Triggers keep it from being changed or deleted."""

    id = UUIDField(primary_key=True)
    kind = TextField()
    method = ForeignKeyField(Method, index=False)
    currency = ForeignKeyField(Currency, index=False)
    minor_units = BigIntegerField()
    reason = TextField()
    user_id = TextField(null=True)
    at = TimestampField()
    closing = BigIntegerField()

    class Meta:
        indexes = ((("closing", "id"), False),)


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


class LightningInvoice(Table):
    """An invoice of a Lightning node, which the service asked for. Its amount is in the minor units of its currency."""

    # In the order of making.
    number = BigAutoField()
    # The till's own.
    id = UUIDField(unique=True)
    ticket_id = TextField(null=True)
    currency = ForeignKeyField(Currency, index=False)
    minor_units = BigIntegerField()
    # The amount in satoshi that the till sent, null if the rate of the node counts.
    asked_sat = BigIntegerField(null=True)
    memo = TextField(null=True)
    user_id = TextField(null=True)
    request_id = TextField()
    created_at = TimestampField()
    # new: the node has offered nothing yet; open; withdrawn: nobody should pay it; paid. An open one may have expired.
    state = TextField()
    # Whether the node is asked if it was paid.
    watched = BooleanField()
    # What the node has offered. `rate` is how many satoshi a unit of the currency is worth, null if no rate was needed.
    amount_sat = BigIntegerField(null=True)
    rate = TextField(null=True)
    bolt11 = TextField(null=True, unique=True)
    payment_hash = TextField(null=True, unique=True)
    expires_at = TimestampField(null=True)
    # What the node has received, after its fees. Not null while the invoice is not paid: less arrived than was asked.
    received_msat = BigIntegerField(null=True)
    payment_id = UUIDField(null=True, unique=True)
    paid_at = TimestampField(null=True)

    class Meta:
        indexes = (
            (("watched", "number"), False), (("state", "number"), False), (("ticket_id", "number"), False),
            (("paid_at",), False),
        )


# The names of all tables of the service, with the one in which Peewee's runner keeps what it has run.
TABLES = [*(table._meta.table_name for table in Table.__subclasses__()), "schema_migration"]
