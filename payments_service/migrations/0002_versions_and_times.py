"""Add a version, a creation time and a change time to each payment."""
from datetime import datetime, timedelta, timezone

from peewee import SqliteDatabase

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def format_time(time):
    """Return a time as text, in the format that SQLite stores."""
    return time.isoformat(sep=" ", timespec="microseconds")


def creation_time(payment_id, now):
    """Return the creation time in a UUIDv7 (RFC 9562, section 5.7), or `now` for any other id or a future time."""
    try:
        milliseconds = int(payment_id[:12], 16)
        known = payment_id[12] == "7" and milliseconds <= (now - EPOCH) // timedelta(milliseconds=1)
    except (TypeError, ValueError, IndexError):
        # SQLite accepts any value as an id, for example from an edit by hand.
        known = False
    return format_time(EPOCH + timedelta(milliseconds=milliseconds) if known else now)


# The same for PostgreSQL. It uses a bit string, because versions before 16 do not cast hexadecimal text to a number.
CREATION_TIME = """
    CASE WHEN substr(id::text, 15, 1) = '7' AND {moment} <= now() THEN {moment} ELSE now() END
""".format(
    moment="""
    timestamptz 'epoch'
    + ('x' || lpad(left(replace(id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint * interval '1 millisecond'
"""
)


def up(migrator, db):
    """Apply the migration. The change time of existing payments is unknown, so it is set to their creation time."""
    db.execute_sql("ALTER TABLE payment ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version > 0)")
    for name in ("created_at", "changed_at"):
        # SQLite adds a NOT NULL column only with a constant default, and cannot remove the default later.
        db.execute_sql(f"ALTER TABLE payment ADD COLUMN {name} TIMESTAMPTZ NOT NULL DEFAULT '{format_time(EPOCH)}'")
    if isinstance(db, SqliteDatabase):
        now = datetime.now(timezone.utc)
        db.connection().create_function("made_at", 1, lambda payment_id: creation_time(payment_id, now))
        time = "made_at(id)"
    else:
        time = CREATION_TIME
    db.execute_sql(f"UPDATE payment SET created_at = {time}, changed_at = {time}")
