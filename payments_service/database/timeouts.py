"""How long the database may take before a request fails with 503."""

# For each wait: for a connection, for other writers, for a lock.
LOCK_TIMEOUT_SECONDS = 5
# For one statement on PostgreSQL.
STATEMENT_TIMEOUT_SECONDS = 30
