"""Scope idempotency keys by method and path, without the user, and accept longer transaction ids and ticket ids."""
from peewee import (
    BigIntegerField, Check, CompositeKey, Field, Model, PeeweeException, SmallIntegerField, SqliteDatabase, TextField,
)

# Each changed check by its table: the old condition, and its name on PostgreSQL; the new name and condition.
CHECKS = {
    "payment": (
        "trim(transaction_id) <> '' AND length(transaction_id) <= 128",
        "payment_transaction_id_check",
        "payment_transaction_id_length",
        # An index of PostgreSQL holds no more than 2,692 bytes.
        "trim(transaction_id) <> '' AND length(transaction_id) <= 2000 AND {octet_length}(transaction_id) <= 2690",
    ),
    "ticket_payment": (
        "trim(ticket_id) <> '' AND length(ticket_id) <= 64",
        "ticket_payment_ticket_id_check",
        "ticket_payment_ticket_id_length",
        "trim(ticket_id) <> '' AND length(ticket_id) <= 255",
    ),
}


class MomentField(Field):
    """A column for a time with its time zone."""

    field_type = "TIMESTAMPTZ"


def change_checks_of_sqlite(db):
    """Change the text of the checks in SQLite's schema: it has no ALTER TABLE for that.

    This is the procedure of https://sqlite.org/lang_altertable.html#otheralter for a change that leaves all rows as
    they are. It takes as long for a million payments as for one; building the tables anew would copy them all.
    """
    (version,) = db.execute_sql("PRAGMA schema_version").fetchone()
    db.execute_sql("PRAGMA writable_schema = ON")
    try:
        for table, (old, _, name, new) in CHECKS.items():
            # SQLite has no octet_length before 3.43.
            new = new.replace("{octet_length}(transaction_id)", "length(CAST(transaction_id AS BLOB))")
            changed = db.execute_sql(
                "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ? AND instr(sql, ?)",
                (f"CHECK ({old})", f"CONSTRAINT {name} CHECK ({new})", table, f"CHECK ({old})"),
            )
            if changed.rowcount != 1:
                raise PeeweeException(f"the table {table} has not the check of earlier releases: {old}")
        db.execute_sql(f"PRAGMA schema_version = {version + 1}")
    finally:
        # Forbids further changes, and reads the schema anew.
        db.execute_sql("PRAGMA writable_schema = RESET")


def change_checks_of_postgresql(db):
    """Replace the checks. The new ones have names of their own."""
    for table, (_, old_name, name, new) in CHECKS.items():
        new = new.format(octet_length="octet_length")
        db.execute_sql(f"ALTER TABLE {table} DROP CONSTRAINT {old_name}, ADD CONSTRAINT {name} CHECK ({new})")


def change_idempotency_keys(db):
    """Build the table of keys anew.

    Of the keys that several users sent to one path, the newest stays. A retry with one of the others gets the response
    to the newest if it has the same body, and is rejected if it has another, so that it records nothing twice.
    """
    class IdempotencyKey(Model):
        method = TextField()
        path = TextField()
        key = TextField(constraints=[Check("length(key) BETWEEN 1 AND 255", name="idempotency_key_length")])
        # The SHA-256 of the request's values, of its bytes if an earlier release stored it.
        fingerprint = TextField(constraints=[Check("length(fingerprint) = 64", name="idempotency_key_fingerprint")])
        # The status and body of the stored response. They are null only during the transaction that first uses the key.
        status = SmallIntegerField(
            null=True, constraints=[Check("status BETWEEN 200 AND 299", name="idempotency_key_status")]
        )
        answer = TextField(null=True)
        created_at = MomentField()
        # Orders the keys whatever the clock says. Keys that are stored at the same time may have the same number.
        number = BigIntegerField(index=True)

        class Meta:
            database = db
            legacy_table_names = False
            primary_key = CompositeKey("method", "path", "key")

    db.execute_sql("DROP INDEX idempotency_key_created_at")
    db.execute_sql("ALTER TABLE idempotency_key RENAME TO old_idempotency_key")
    if not isinstance(db, SqliteDatabase):
        db.execute_sql("ALTER TABLE old_idempotency_key DROP CONSTRAINT idempotency_key_pkey")
    db.create_tables([IdempotencyKey], safe=False)
    db.execute_sql(
        """
        INSERT INTO idempotency_key (method, path, key, fingerprint, status, answer, created_at, number)
        SELECT method, path, key, body_sha256, status, answer, created_at, row_number() OVER (ORDER BY created_at)
        FROM (
            SELECT old.*,
                row_number() OVER (PARTITION BY method, path, key ORDER BY created_at DESC, user_id DESC) AS place
            FROM old_idempotency_key AS old
        ) AS placed
        WHERE place = 1
        """
    )
    db.execute_sql("DROP TABLE old_idempotency_key")


def up(migrator, db):
    """Apply the migration."""
    if isinstance(db, SqliteDatabase):
        change_checks_of_sqlite(db)
    else:
        change_checks_of_postgresql(db)
    change_idempotency_keys(db)
