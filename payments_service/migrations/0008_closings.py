"""Add the postings of money, the closings, and the cash movements. Triggers make them append-only.

Each entry of the history gets the number of the closing in which it was made. Those from before this migration get 0,
and so do the postings that carry what all payments add up to.
"""
import logging
from datetime import datetime, timezone

from peewee import (
    BigAutoField, BigIntegerField, BooleanField, Check, CompositeKey, DateField, Field, ForeignKeyField, IntegerField,
    Model, PeeweeException, SmallIntegerField, SqliteDatabase, TextField, UUIDField,
)

logger = logging.getLogger("payments_service.migrations")

CASH = "01950000-0000-7000-8000-000000000001"
MAX_BIGINT = 2**63 - 1
# A sum of 64-bit numbers can exceed 64 bits, which is an error on SQLite. Both halves add up separately.
HALF_BITS = 32

OLD_ACTION = "action IN ('created', 'changed', 'deleted', 'linked', 'unlinked')"
OLD_BEFORE = "(before IS NULL) = (action IN ('created', 'linked'))"
OLD_AFTER = "(after IS NULL) = (action IN ('deleted', 'unlinked'))"
# Later releases add actions: the checks say nothing of those.
LATER = "action NOT IN ('created', 'changed', 'deleted', 'linked', 'unlinked')"
ACTION_LENGTH = "length(action) BETWEEN 1 AND 32"
BEFORE = f"{LATER} OR {OLD_BEFORE}"
AFTER = f"{LATER} OR {OLD_AFTER}"
PAYMENT = f"{LATER} OR payment_id IS NOT NULL"
SQLITE_COLUMNS = [
    ('"payment_id" TEXT NOT NULL', f'"payment_id" TEXT CONSTRAINT history_payment CHECK ({PAYMENT})'),
    (
        f'"action" TEXT NOT NULL CHECK ({OLD_ACTION})',
        f'"action" TEXT NOT NULL CONSTRAINT history_action CHECK ({ACTION_LENGTH})',
    ),
    (f'"before" TEXT CHECK ({OLD_BEFORE})', f'"before" TEXT CONSTRAINT history_before CHECK ({BEFORE})'),
    (f'"after" TEXT CHECK ({OLD_AFTER})', f'"after" TEXT CONSTRAINT history_after CHECK ({AFTER})'),
]
POSTGRESQL_HISTORY = f"""
ALTER TABLE history
ALTER COLUMN payment_id DROP NOT NULL,
DROP CONSTRAINT history_action_check,
DROP CONSTRAINT history_check,
DROP CONSTRAINT history_check1,
ADD CONSTRAINT history_payment CHECK ({PAYMENT}),
ADD CONSTRAINT history_action CHECK ({ACTION_LENGTH}),
ADD CONSTRAINT history_before CHECK ({BEFORE}),
ADD CONSTRAINT history_after CHECK ({AFTER})
"""

# Each append-only table, with the columns of its primary key. SQLite or PostgreSQL gives the ids of the first two.
NUMBERED = ["posting", "closing_user"]
APPEND_ONLY = {
    "posting": ["id"],
    "closing": ["number"],
    "closing_line": ["closing", "method_id", "currency_id"],
    "closing_user": ["id"],
    "cash_movement": ["id"],
}
REJECT = "BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
POSTGRESQL_FUNCTION = """
CREATE FUNCTION reject_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$
"""


class TimestampField(Field):
    """A column for a time with its time zone."""

    field_type = "TIMESTAMPTZ"


def change_history_of_sqlite(db):
    """Change the text of SQLite's schema, as migration 0006 does, since no row violates the new checks."""
    (version,) = db.execute_sql("PRAGMA schema_version").fetchone()
    db.execute_sql("PRAGMA writable_schema = ON")
    try:
        for old, new in SQLITE_COLUMNS:
            changed = db.execute_sql(
                "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ? AND instr(sql, ?)",
                (old, new, "history", old),
            )
            if changed.rowcount != 1:
                raise PeeweeException(f"the table history has not the column of earlier releases: {old}")
        db.execute_sql(f"PRAGMA schema_version = {version + 1}")
    finally:
        # Forbids further changes, and reads the schema anew.
        db.execute_sql("PRAGMA writable_schema = RESET")


def create_tables(db):
    """Create the tables, and the row with the number of the first closing."""
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Method(Table):
        id = UUIDField(primary_key=True)

    class Currency(Table):
        id = UUIDField(primary_key=True)

    class OpenClosing(Table):
        id = SmallIntegerField(primary_key=True, constraints=[Check("id = 1", name="open_closing_one_row")])
        number = BigIntegerField(constraints=[Check("number > 0", name="open_closing_number")])

    class Posting(Table):
        id = BigAutoField(constraints=[Check("id > 0", name="posting_id_positive")])
        # Not a foreign key: what is carried has no entry, and a restored history is checked by other means.
        history_id = BigIntegerField(
            null=True, constraints=[Check("(history_id IS NULL) = (kind = 'carried')", name="posting_history")]
        )
        method = ForeignKeyField(Method, index=False)
        currency = ForeignKeyField(Currency, index=False)
        user_id = TextField(null=True)
        kind = TextField(
            constraints=[
                Check(
                    "kind IN ('payment', 'correction', 'refund', 'paid_in', 'paid_out', 'carried')",
                    name="posting_kind",
                )
            ]
        )
        closing = BigIntegerField(constraints=[Check("(closing = 0) = (kind = 'carried')", name="posting_closing")])
        business_date = DateField()
        # SQLite stores text and fractions in any column. Plain comparisons come out of a backup as they went in.
        minor_units = BigIntegerField(
            constraints=[
                Check(
                    "minor_units >= -9223372036854775807 AND minor_units = CAST(minor_units AS BIGINT)",
                    name="posting_minor_units",
                )
            ]
        )

        class Meta:
            indexes = ((("closing", "id"), False), (("business_date",), False))

    class Closing(Table):
        number = BigIntegerField(primary_key=True, constraints=[Check("number > 0", name="closing_number_positive")])
        closed_at = TimestampField()
        user_id = TextField(null=True)
        business_date = DateField()
        previous_hash = TextField(
            null=True, constraints=[Check("(previous_hash IS NULL) = (number = 1)", name="closing_previous_hash")]
        )
        hash = TextField(unique=True, constraints=[Check("length(hash) = 64", name="closing_hash_length")])

    class ClosingLine(Table):
        # Not a foreign key: the closing's hash is made of its lines, so they are inserted first.
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

        class Meta:
            primary_key = CompositeKey("closing", "method", "currency")
            constraints = [
                Check(
                    "expected = opening + payments + corrections - refunds + paid_in - paid_out",
                    name="closing_line_expected",
                ),
                Check("counted IS NULL OR remaining BETWEEN 0 AND counted", name="closing_line_remaining"),
            ]

    class ClosingUser(Table):
        id = BigAutoField(constraints=[Check("id > 0", name="closing_user_id_positive")])
        closing = BigIntegerField()
        user_id = TextField(null=True)
        method = ForeignKeyField(Method, index=False)
        currency = ForeignKeyField(Currency, index=False)
        takings = BigIntegerField()

        class Meta:
            indexes = ((("closing", "id"), False),)

    class CashMovement(Table):
        id = UUIDField(primary_key=True)
        kind = TextField(constraints=[Check("kind IN ('paid_in', 'paid_out')", name="cash_movement_kind")])
        method = ForeignKeyField(Method, index=False)
        currency = ForeignKeyField(Currency, index=False)
        minor_units = BigIntegerField(
            constraints=[
                Check("minor_units > 0 AND minor_units = CAST(minor_units AS BIGINT)", name="cash_movement_minor_units")
            ]
        )
        reason = TextField(
            constraints=[Check("length(reason) <= 255 AND trim(reason) <> ''", name="cash_movement_reason")]
        )
        user_id = TextField(null=True)
        at = TimestampField()
        closing = BigIntegerField()

        class Meta:
            indexes = ((("closing", "id"), False),)

    db.create_tables([OpenClosing, Posting, Closing, ClosingLine, ClosingUser, CashMovement], safe=False)
    OpenClosing.insert(id=1, number=1).execute()
    return Posting


def carry_payments(db, posting):
    """Add what the payments of each method and currency add up to. A sum over a BIGINT makes several postings."""
    half = 2**HALF_BITS
    sums = db.execute_sql(
        "SELECT method_id, currency_id, count(*), "
        f"sum(minor_units >> {HALF_BITS}), sum(CAST(minor_units & {half - 1} AS BIGINT)) "
        "FROM payment GROUP BY method_id, currency_id ORDER BY method_id, currency_id"
    ).fetchall()
    today = datetime.now(timezone.utc).date()
    total = 0
    for method_id, currency_id, count, high, low in sums:
        total += count
        logger.info("carried %s payments", f"{total:,}")
        left = int(high) * half + int(low)
        while True:
            part = min(left, MAX_BIGINT)
            posting.insert(
                method=method_id, currency=currency_id, kind="carried", closing=0, business_date=today, minor_units=part
            ).execute()
            left -= part
            if not left:
                break


def create_triggers_of_sqlite(db):
    """Reject changes, deletions and replacements."""
    for table, key in APPEND_ONLY.items():
        reject = REJECT.format(table=table)
        if table in NUMBERED:
            # -1 stands for an id that SQLite gives. See migration 0007.
            replaced = f"NEW.id <> -1 AND NEW.id <> (SELECT coalesce(max(id), 0) + 1 FROM {table})"
        else:
            same = " AND ".join(f"{column} = NEW.{column}" for column in key)
            replaced = f"EXISTS (SELECT 1 FROM {table} WHERE {same})"
        db.execute_sql(f"CREATE TRIGGER {table}_is_not_changed BEFORE UPDATE ON {table} {reject}")
        db.execute_sql(f"CREATE TRIGGER {table}_is_not_deleted BEFORE DELETE ON {table} {reject}")
        db.execute_sql(f"CREATE TRIGGER {table}_is_not_replaced BEFORE INSERT ON {table} WHEN {replaced} {reject}")


def create_triggers_of_postgresql(db):
    """Reject changes, deletions and TRUNCATE, in replication sessions too."""
    # Peewee would take a percent sign for a parameter's.
    db.execute_sql(POSTGRESQL_FUNCTION.replace("%", "%%"), ())
    for table in APPEND_ONLY:
        execute = "EXECUTE FUNCTION reject_change()"
        for sql in (
            f"CREATE TRIGGER {table}_is_not_changed BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {execute}",
            f"CREATE TRIGGER {table}_is_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {execute}",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_is_not_changed",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_is_not_emptied",
        ):
            db.execute_sql(sql)


def up(migrator, db):
    """Apply the migration."""
    is_sqlite = isinstance(db, SqliteDatabase)
    no = "0" if is_sqlite else "FALSE"
    db.execute_sql(f"ALTER TABLE method ADD COLUMN cash {'INTEGER' if is_sqlite else 'BOOLEAN'} NOT NULL DEFAULT {no}")
    cash = f"'{CASH.replace('-', '') if is_sqlite else CASH}'"
    db.execute_sql(f"UPDATE method SET cash = {'1' if is_sqlite else 'TRUE'} WHERE id = {cash}")
    if is_sqlite:
        change_history_of_sqlite(db)
    else:
        db.execute_sql(POSTGRESQL_HISTORY)
    db.execute_sql("ALTER TABLE history ADD COLUMN closing BIGINT NOT NULL DEFAULT 0")
    logger.info("indexing the history")
    db.execute_sql("CREATE INDEX history_closing_id ON history (closing, id)")
    posting = create_tables(db)
    carry_payments(db, posting)
    if is_sqlite:
        create_triggers_of_sqlite(db)
    else:
        create_triggers_of_postgresql(db)
