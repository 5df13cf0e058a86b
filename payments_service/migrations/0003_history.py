"""Create the history table. Triggers make it append-only."""
from peewee import BigAutoField, Check, Field, Model, SqliteDatabase, TextField, UUIDField

SQLITE = [
    """
    CREATE TRIGGER history_is_not_changed BEFORE UPDATE ON history
    BEGIN SELECT RAISE(ABORT, 'history is append-only'); END
    """,
    """
    CREATE TRIGGER history_is_not_deleted BEFORE DELETE ON history
    BEGIN SELECT RAISE(ABORT, 'history is append-only'); END
    """,
    # INSERT OR REPLACE deletes the old row without running the DELETE trigger.
    """
    CREATE TRIGGER history_is_not_replaced BEFORE INSERT ON history
    WHEN EXISTS (SELECT 1 FROM history WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'history is append-only'); END
    """,
]
POSTGRESQL = [
    """
    CREATE FUNCTION refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'history is append-only' USING ERRCODE = 'restrict_violation'; END $$
    """,
    """
    CREATE TRIGGER history_is_not_changed BEFORE UPDATE OR DELETE ON history
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_history()
    """,
    """
    CREATE TRIGGER history_is_not_emptied BEFORE TRUNCATE ON history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_history()
    """,
    # Triggers that are not ALWAYS do not run in replication sessions.
    "ALTER TABLE history ENABLE ALWAYS TRIGGER history_is_not_changed",
    "ALTER TABLE history ENABLE ALWAYS TRIGGER history_is_not_emptied",
]


class MomentField(Field):
    """A column for a time with its time zone."""

    field_type = "TIMESTAMPTZ"


def up(migrator, db):
    """Apply the migration."""
    class History(Model):
        id = BigAutoField()
        # Not a foreign key, because the history of a payment stays when the payment is deleted.
        payment_id = UUIDField()
        at = MomentField()
        user_id = TextField(null=True)
        request_id = TextField()
        action = TextField(constraints=[Check("action IN ('created', 'changed', 'deleted', 'linked', 'unlinked')")])
        before = TextField(null=True, constraints=[Check("(before IS NULL) = (action IN ('created', 'linked'))")])
        after = TextField(null=True, constraints=[Check("(after IS NULL) = (action IN ('deleted', 'unlinked'))")])

        class Meta:
            database = db
            legacy_table_names = False
            indexes = ((("payment_id", "id"), False),)

    db.create_tables([History], safe=False)
    for sql in SQLITE if isinstance(db, SqliteDatabase) else POSTGRESQL:
        db.execute_sql(sql)
