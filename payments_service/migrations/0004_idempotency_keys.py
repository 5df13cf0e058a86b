"""Create the table of idempotency keys."""
from peewee import Check, CompositeKey, Field, Model, SmallIntegerField, TextField


class MomentField(Field):
    """A column for a time with its time zone."""

    field_type = "TIMESTAMPTZ"


def up(migrator, db):
    """Apply the migration."""
    class IdempotencyKey(Model):
        user_id = TextField()
        method = TextField()
        path = TextField()
        key = TextField(constraints=[Check("length(key) BETWEEN 1 AND 255")])
        body_sha256 = TextField(constraints=[Check("length(body_sha256) = 64")])
        # The status and body of the stored response. They are null only during the transaction that first uses the key.
        status = SmallIntegerField(null=True, constraints=[Check("status BETWEEN 200 AND 299")])
        answer = TextField(null=True)
        created_at = MomentField(index=True)

        class Meta:
            database = db
            legacy_table_names = False
            primary_key = CompositeKey("user_id", "method", "path", "key")

    db.create_tables([IdempotencyKey], safe=False)
