"""Let each payment know its version, and when it was made and last changed."""
from datetime import datetime, timedelta, timezone

from peewee import SqliteDatabase

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def text_of(moment):
    """Return a moment as the text that SQLite holds."""
    return moment.isoformat(sep=" ", timespec="microseconds")


def made_at(payment_id, now):
    """Return when a UUIDv7 was made (RFC 9562, section 5.7), `now` for any other id."""
    try:
        milliseconds = int(payment_id[:12], 16)
        known = payment_id[12] == "7" and milliseconds <= (now - EPOCH) // timedelta(milliseconds=1)
    except (TypeError, ValueError, IndexError):
        # SQLite holds whatever somebody has put in by hand.
        known = False
    return text_of(EPOCH + timedelta(milliseconds=milliseconds) if known else now)


# The same on PostgreSQL. A bit string, because it reads no hexadecimal numbers.
MADE_AT = """
    CASE WHEN substr(id::text, 15, 1) = '7' AND {moment} <= now() THEN {moment} ELSE now() END
""".format(
    moment="""
    timestamptz 'epoch'
    + ('x' || lpad(left(replace(id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint * interval '1 millisecond'
"""
)


def up(migrator, db):
    """Run the migration. Nobody knows when the payments that are there were changed, so it says that they were not."""
    db.execute_sql("ALTER TABLE payment ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version > 0)")
    for name in ("created_at", "changed_at"):
        # SQLite adds no column that must have a value without a constant that is it at first, and never drops that.
        db.execute_sql(f"ALTER TABLE payment ADD COLUMN {name} TIMESTAMPTZ NOT NULL DEFAULT '{text_of(EPOCH)}'")
    if isinstance(db, SqliteDatabase):
        now = datetime.now(timezone.utc)
        db.connection().create_function("made_at", 1, lambda payment_id: made_at(payment_id, now))
        made = "made_at(id)"
    else:
        made = MADE_AT
    db.execute_sql(f"UPDATE payment SET created_at = {made}, changed_at = {made}")
