"""Create the first tables, and the methods and currencies that every installation starts with."""
from peewee import (
    BigIntegerField, Check, CompositeKey, Field, ForeignKeyField, Model, SmallIntegerField, TextField, UUIDField,
)

# The ids are the same on every installation, so tills can be configured before the service is installed.
METHODS = {
    "01950000-0000-7000-8000-000000000001": "Cash",
    "01950000-0000-7000-8000-000000000002": "Credit Card",
    "01950000-0000-7000-8000-000000000003": "Debit Card",
    "01950000-0000-7000-8000-000000000004": "Bitcoin Lightning",
}
CURRENCIES = {
    "01950000-0000-7000-8000-000000000101": ("EUR", 2),
    "01950000-0000-7000-8000-000000000102": ("USD", 2),
    "01950000-0000-7000-8000-000000000103": ("MXN", 2),
    "01950000-0000-7000-8000-000000000104": ("BTC", 8),
}


class MomentField(Field):
    """A column for a time with its time zone."""

    field_type = "TIMESTAMPTZ"


def up(migrator, db):
    """Apply the migration."""
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Method(Table):
        id = UUIDField(primary_key=True)
        name = TextField(
            unique=True, constraints=[Check("name = trim(name) AND length(name) BETWEEN 1 AND 64")]
        )

    class Currency(Table):
        id = UUIDField(primary_key=True)
        acronym = TextField(
            unique=True, constraints=[Check("acronym = trim(acronym) AND length(acronym) BETWEEN 1 AND 16")]
        )
        decimals = SmallIntegerField(constraints=[Check("decimals BETWEEN 0 AND 18")])

    class Payment(Table):
        id = UUIDField(primary_key=True)
        method = ForeignKeyField(Method)
        currency = ForeignKeyField(Currency)
        transaction_id = TextField(
            unique=True, constraints=[Check("trim(transaction_id) <> '' AND length(transaction_id) <= 128")]
        )
        # SQLite stores text and fractions in any column. The first check rejects text, which SQLite compares as greater
        # than any number. The second rejects fractions, which the cast truncates.
        minor_units = BigIntegerField(
            constraints=[
                Check("minor_units BETWEEN 0 AND 9223372036854775807"),
                Check("minor_units = CAST(minor_units AS BIGINT)"),
            ]
        )

    class TicketPayment(Table):
        payment = ForeignKeyField(Payment, index=False)
        ticket_id = TextField(index=True, constraints=[Check("trim(ticket_id) <> '' AND length(ticket_id) <= 64")])
        linked_at = MomentField()

        class Meta:
            primary_key = CompositeKey("payment", "ticket_id")

    db.create_tables([Method, Currency, Payment, TicketPayment], safe=False)
    Method.insert_many([{"id": id, "name": name} for id, name in METHODS.items()]).execute()
    Currency.insert_many(
        [{"id": id, "acronym": acronym, "decimals": decimals} for id, (acronym, decimals) in CURRENCIES.items()]
    ).execute()
