"""Let postings carry what was imported into the open closing, where closings before it are sealed already."""
from peewee import PeeweeException, SqliteDatabase

OLD = "(closing = 0) = (kind = 'carried')"
NEW = "closing > 0 OR (closing = 0 AND kind = 'carried')"


def up(migrator, db):
    """Apply the migration. No row violates the new check."""
    if not isinstance(db, SqliteDatabase):
        changes = f"DROP CONSTRAINT posting_closing, ADD CONSTRAINT posting_closing CHECK ({NEW})"
        db.execute_sql(f"ALTER TABLE posting {changes}")
        return
    # The text of SQLite's schema, as in migration 0006.
    (version,) = db.execute_sql("PRAGMA schema_version").fetchone()
    db.execute_sql("PRAGMA writable_schema = ON")
    try:
        changed = db.execute_sql(
            "UPDATE sqlite_master SET sql = replace(sql, ?, ?) "
            "WHERE type = 'table' AND name = 'posting' AND instr(sql, ?)",
            (f"CHECK ({OLD})", f"CHECK ({NEW})", f"CHECK ({OLD})"),
        )
        if changed.rowcount != 1:
            raise PeeweeException(f"the table posting has not the check of earlier releases: {OLD}")
        db.execute_sql(f"PRAGMA schema_version = {version + 1}")
    finally:
        # Forbids further changes, and reads the schema anew.
        db.execute_sql("PRAGMA writable_schema = RESET")
