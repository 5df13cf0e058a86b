"""Add refunds, what of a payment goes to each of its tickets, and tips."""
from peewee import BigIntegerField, Check, Field, ForeignKeyField, Model, TextField, UUIDField

MAX_BIGINT = 2**63 - 1
# SQLite stores text and fractions in any column. BETWEEN rejects text, and the cast rejects fractions.
WHOLE = "{column} = CAST({column} AS BIGINT)"
# Each new column, with the condition of its check. The columns of payments add up what other tables hold.
COLUMNS = {
    ("payment", "refunded_units"): "refunded_units BETWEEN 0 AND minor_units",
    ("payment", "tip_units"): "tip_units BETWEEN 0 AND minor_units",
    # A difference: the sum of both may not fit into a BIGINT.
    ("payment", "allocated_units"): "allocated_units BETWEEN 0 AND minor_units - tip_units",
    ("posting", "tip_units"): f"tip_units BETWEEN -{MAX_BIGINT} AND {MAX_BIGINT}",
    ("closing_line", "tips"): None,
    ("closing_user", "tips"): None,
}


class TimestampField(Field):
    """A column for a time with its time zone."""

    field_type = "TIMESTAMPTZ"


def add_columns(db):
    """Add the columns of amounts. All existing rows have 0, so no row is written."""
    for (table, column), condition in COLUMNS.items():
        sql = f"ALTER TABLE {table} ADD COLUMN {column} BIGINT NOT NULL DEFAULT 0"
        if condition:
            sql += f" CONSTRAINT {table}_{column} CHECK ({condition} AND {WHOLE.format(column=column)})"
        db.execute_sql(sql)
    check = f"CHECK (share_units BETWEEN 0 AND {MAX_BIGINT} AND {WHOLE.format(column='share_units')})"
    name = "ticket_payment_share_units"
    db.execute_sql(f"ALTER TABLE ticket_payment ADD COLUMN share_units BIGINT CONSTRAINT {name} {check}")


def create_refunds(db):
    """Create the table of refunds."""
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Method(Table):
        id = UUIDField(primary_key=True)

    class Payment(Table):
        id = UUIDField(primary_key=True)

    class Refund(Table):
        id = UUIDField(primary_key=True)
        payment = ForeignKeyField(Payment, index=False)
        method = ForeignKeyField(Method, index=False)
        minor_units = BigIntegerField(
            constraints=[
                Check(
                    f"minor_units BETWEEN 1 AND {MAX_BIGINT} AND {WHOLE.format(column='minor_units')}",
                    name="refund_minor_units",
                )
            ]
        )
        reason = TextField(null=True, constraints=[Check("length(reason) BETWEEN 1 AND 255", name="refund_reason")])
        transaction_id = TextField(
            null=True, constraints=[Check("length(transaction_id) BETWEEN 1 AND 2000", name="refund_transaction_id")]
        )
        # Not a foreign key: the ticket may be unlinked later.
        ticket_id = TextField(
            null=True, constraints=[Check("length(ticket_id) BETWEEN 1 AND 255", name="refund_ticket_id")]
        )
        user_id = TextField(null=True)
        at = TimestampField()
        closing = BigIntegerField()

        class Meta:
            indexes = ((("payment", "id"), False),)

    db.create_tables([Refund], safe=False)


def up(migrator, db):
    """Apply the migration."""
    add_columns(db)
    create_refunds(db)
