"""Reject ids on SQLite that would keep the history from being continued. PostgreSQL gives ids from a sequence.

SQLite gives a new entry the highest id plus one. A BEFORE INSERT trigger sees -1 in place of it: once an entry had that
id, `history_is_not_replaced` took each new entry for a replacement, and no payment could be recorded. After an entry
with the highest possible id, SQLite would choose ids at random, and the history would not be in order.
"""
from peewee import PeeweeException, SqliteDatabase

ID = '"id" INTEGER NOT NULL PRIMARY KEY'
POSITIVE_ID = f"{ID} CONSTRAINT history_id_positive CHECK (id > 0)"
TRIGGERS = [
    """
    CREATE TRIGGER history_is_not_changed BEFORE UPDATE ON history
    BEGIN SELECT RAISE(ABORT, 'history is append-only'); END
    """,
    # INSERT OR REPLACE deletes the old row without running the DELETE trigger. -1 stands for an id that SQLite gives.
    """
    CREATE TRIGGER history_is_not_replaced BEFORE INSERT ON history
    WHEN NEW.id <> -1 AND NEW.id <> (SELECT coalesce(max(id), 0) + 1 FROM history)
    BEGIN SELECT RAISE(ABORT, 'history is append-only'); END
    """,
]


def move_to_the_end(db):
    """Give entries whose id no service can have given, zero or less, an id after all others."""
    for row in db.execute_sql("SELECT id FROM history WHERE id <= 0 ORDER BY id").fetchall():
        db.execute_sql("UPDATE history SET id = max(0, (SELECT max(id) FROM history)) + 1 WHERE id = ?", row)


def check_ids(db):
    """Add the check to the text of SQLite's schema, as migration 0006 does, since no row violates it."""
    (version,) = db.execute_sql("PRAGMA schema_version").fetchone()
    db.execute_sql("PRAGMA writable_schema = ON")
    try:
        changed = db.execute_sql(
            "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ? AND instr(sql, ?)",
            (ID, POSITIVE_ID, "history", ID),
        )
        if changed.rowcount != 1:
            raise PeeweeException(f"the table history has not the id of earlier releases: {ID}")
        db.execute_sql(f"PRAGMA schema_version = {version + 1}")
    finally:
        # Forbids further changes, and reads the schema anew.
        db.execute_sql("PRAGMA writable_schema = RESET")


def up(migrator, db):
    """Apply the migration."""
    if not isinstance(db, SqliteDatabase):
        return
    for name in ("history_is_not_changed", "history_is_not_replaced"):
        db.execute_sql(f"DROP TRIGGER {name}")
    move_to_the_end(db)
    check_ids(db)
    for sql in TRIGGERS:
        db.execute_sql(sql)
