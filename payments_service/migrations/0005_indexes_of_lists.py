"""Build the indexes that serve lists in the order of ids, most in place of those that had no ids."""


def up(migrator, db):
    """Run the migration."""
    for index in ("payment_method_id", "payment_currency_id", "ticket_payment_ticket_id"):
        db.execute_sql(f"DROP INDEX {index}")
    for column in ("method_id", "currency_id", "created_at"):
        db.execute_sql(f"CREATE INDEX payment_{column} ON payment ({column}, id)")
    db.execute_sql("CREATE INDEX ticket_payment_ticket_id ON ticket_payment (ticket_id, payment_id)")
