"""Build the indexes that serve lists in the order of ids, and drop those that they make superfluous."""


def up(migrator, db):
    """Run the migration."""
    for column in ("method_id", "currency_id", "created_at"):
        db.execute_sql(f"CREATE INDEX payment_{column}_id ON payment ({column}, id)")
    for column in ("method_id", "currency_id"):
        db.execute_sql(f"DROP INDEX payment_{column}")
