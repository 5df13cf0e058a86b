"""Create indexes that end with the id, to read lists in the order of ids. Most replace indexes without it."""


def up(migrator, db):
    """Apply the migration."""
    for index in ("payment_method_id", "payment_currency_id", "ticket_payment_ticket_id"):
        db.execute_sql(f"DROP INDEX {index}")
    for column in ("method_id", "currency_id", "created_at"):
        db.execute_sql(f"CREATE INDEX payment_{column} ON payment ({column}, id)")
    db.execute_sql("CREATE INDEX ticket_payment_ticket_id ON ticket_payment (ticket_id, payment_id)")
