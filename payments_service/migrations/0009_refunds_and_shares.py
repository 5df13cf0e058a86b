"""Add refunds, what of a payment goes to each of its tickets, and tips."""
from peewee import (
    BigIntegerField, Check, Field, ForeignKeyField, Model, PeeweeException, SqliteDatabase, TextField, UUIDField,
)

MAX_BIGINT = 2**63 - 1
# SQLite stores text and fractions in any column. BETWEEN rejects text, and the cast rejects fractions. It comes first:
# PostgreSQL would write the other order with other parentheses after a restore.
WHOLE = "{column} = CAST({column} AS BIGINT)"
AMOUNT = "BIGINT NOT NULL DEFAULT 0"
# Each new column of a table, with its type and the condition of its check, if it has one.
COLUMNS = {
    "payment": {
        # These add up what other tables hold.
        "refunded_units": (AMOUNT, "refunded_units BETWEEN 0 AND minor_units"),
        "tip_units": (AMOUNT, "tip_units BETWEEN 0 AND minor_units"),
        # A difference: the sum of both may not fit into a BIGINT.
        "allocated_units": (AMOUNT, "allocated_units BETWEEN 0 AND minor_units - tip_units"),
    },
    "ticket_payment": {"share_units": ("BIGINT", f"share_units BETWEEN 0 AND {MAX_BIGINT}")},
    "posting": {"tip_units": (AMOUNT, f"tip_units BETWEEN -{MAX_BIGINT} AND {MAX_BIGINT}")},
    "closing_line": {"tips": (AMOUNT, None)},
    "closing_user": {"tips": (AMOUNT, None)},
}


class TimestampField(Field):
    """A column for a time with its time zone."""

    field_type = "TIMESTAMPTZ"


def make_check(table, column, condition):
    """Return a named check of a column, "" without a condition."""
    check = f"CONSTRAINT {table}_{column} CHECK ({WHOLE.format(column=column)} AND {condition})"
    return check if condition else ""


def add_columns_to_sqlite(db):
    """Add the columns without their checks, and then the checks to the text of SQLite's schema.

    All rows have 0 or null in the columns, which no check rejects. Added with its check, a column would make SQLite
    read the whole table: three of them took 12 s for a million payments. See migration 0006.
    """
    added = [(table, column, *rest) for table, columns in COLUMNS.items() for column, rest in columns.items()]
    for table, column, definition, _ in added:
        db.execute_sql(f"ALTER TABLE {table} ADD COLUMN {column} {definition}")
    (version,) = db.execute_sql("PRAGMA schema_version").fetchone()
    db.execute_sql("PRAGMA writable_schema = ON")
    try:
        for table, column, definition, condition in added:
            old = f"{column} {definition}"
            new = f"{old} {make_check(table, column, condition)}".strip()
            changed = db.execute_sql(
                "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ? AND instr(sql, ?)",
                (old, new, table, old),
            )
            if changed.rowcount != 1:
                raise PeeweeException(f"the table {table} has not the new column {column}")
        db.execute_sql(f"PRAGMA schema_version = {version + 1}")
    finally:
        # Forbids further changes, and reads the schema anew.
        db.execute_sql("PRAGMA writable_schema = RESET")


def add_columns_to_postgresql(db):
    """Add all columns of a table at once, so that it is read once."""
    for table, columns in COLUMNS.items():
        added = (
            f"ADD COLUMN {column} {definition} {make_check(table, column, condition)}"
            for column, (definition, condition) in columns.items()
        )
        db.execute_sql(f"ALTER TABLE {table} {', '.join(added)}")


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
                    f"{WHOLE.format(column='minor_units')} AND minor_units BETWEEN 1 AND {MAX_BIGINT}",
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
    if isinstance(db, SqliteDatabase):
        add_columns_to_sqlite(db)
    else:
        add_columns_to_postgresql(db)
    create_refunds(db)
