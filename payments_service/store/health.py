"""Whether payments can be recorded."""
from ..database import current, pending_migrations, write
from ..errors import NotReady


def check() -> None:
    """See that the database is there, up to date and takes writes, and that its disk has room.

    Raises `NotReady`, and what the database raises.
    """
    fault = current.fault()
    if fault:
        raise NotReady(fault)
    pending = pending_migrations()
    if pending:
        raise NotReady(f"The database is not up to date: {', '.join(pending)} is missing. Run migrate, or start again.")
    _write_nothing()


@write()
def _write_nothing() -> None:
    current.execute_sql("UPDATE schema_migration SET name = name WHERE 1 = 0")
