"""What an error of the database means: a fault of the box, a conflict to retry, or a violated constraint."""
import sqlite3

import peewee
from playhouse.pool import MaxConnectionsExceeded

# Peewee's pool raises the last one when it has no free connection.
DATABASE_FAULTS = (peewee.DatabaseError, peewee.InterfaceError, sqlite3.Error, MaxConnectionsExceeded)

# PostgreSQL's SQLSTATEs for a serialization failure and a deadlock. A retry of the transaction may succeed.
RETRYABLE = {"40001", "40P01"}

# SQLSTATEs of what a technician has to mend, and not this service's code: a privilege is missing; a table, column,
# function, other object or schema is lost; a sequence is exhausted.
MENDABLE = {"42501", "42P01", "42703", "42883", "42704", "3F000", "2200H"}

# A violation of it means that the sequence is behind the table, as after a failover of logical replication.
GENERATED_KEYS = {"history_pkey"}

FOREIGN_KEY_VIOLATIONS = {"SQLITE_CONSTRAINT_FOREIGNKEY", "23503"}


def error_code(error: BaseException) -> str:
    """Return the database's own code for an error: SQLite's extended result code or PostgreSQL's SQLSTATE, or ""."""
    origin = getattr(error, "orig", None)
    return getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None) or ""


def is_outage(error: Exception) -> bool:
    """Tell whether an error of the database is a fault of the box or the database, and not of the service's code."""
    if isinstance(error, peewee.IntegrityError):
        return violated_constraint(error) in GENERATED_KEYS
    return error_code(error) in MENDABLE or not isinstance(error, (peewee.DataError, peewee.ProgrammingError))


def violates_foreign_key(error: peewee.IntegrityError) -> bool:
    """Tell whether a foreign key was violated. SQLite does not say which."""
    return error_code(error) in FOREIGN_KEY_VIOLATIONS


def violated_constraint(error: peewee.IntegrityError) -> str:
    """Return the name of the unique or check constraint that was violated, as PostgreSQL names it.

    `payment_transaction_id` for a unique column, `ticket_payment_pkey` for a primary key, its own name for a named
    check. SQLite has no field for it, only the message "UNIQUE constraint failed: a.x, a.y". That has the columns of a
    unique constraint and not its name, so the names of both engines agree only for Peewee's default names.
    """
    origin = getattr(error, "orig", None)
    if not isinstance(origin, sqlite3.Error):
        return getattr(getattr(origin, "diag", None), "constraint_name", None) or ""
    _, _, failed = str(origin).partition(" constraint failed: ")
    table = failed.partition(".")[0]
    if error_code(error) == "SQLITE_CONSTRAINT_PRIMARYKEY":
        return f"{table}_pkey"
    if error_code(error) == "SQLITE_CONSTRAINT_UNIQUE":
        return "_".join([table, *(column.partition(".")[2] for column in failed.split(", "))])
    return failed
