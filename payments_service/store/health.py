"""Whether payments can be recorded."""
from ..database import DATABASE_FAULTS, current, pending_migrations, write
from ..errors import NotReady


def check() -> None:
    """Check that the database is reachable, up to date and writable, and that its disk has room; raises `NotReady`."""
    fault = current.find_fault()
    if fault:
        raise NotReady(fault)
    try:
        pending = pending_migrations()
    except DATABASE_FAULTS as error:
        raise NotReady("The database is out of reach, or cannot be read: see the log.") from error
    if pending:
        raise NotReady(f"The database is not up to date: {', '.join(pending)} is missing. Run migrate, or start again.")
    try:
        _try_to_write()
    except DATABASE_FAULTS as error:
        raise NotReady("The database takes no writes: see the log.") from error


@write()
def _try_to_write() -> None:
    # It changes no row, but fails where a payment would: without a lock or a permission, or on a read-only disk.
    current.execute_sql("UPDATE schema_migration SET name = name WHERE 1 = 0")
