"""Build the indexes that serve lists in the order of ids, two in place of those that had no ids."""


def up(migrator, db):
    """Run the migration."""
    for column in ("method_id", "currency_id"):
        db.execute_sql(f"DROP INDEX payment_{column}")
    for column in ("method_id", "currency_id", "created_at"):
        db.execute_sql(f"CREATE INDEX payment_{column} ON payment ({column}, id)")
