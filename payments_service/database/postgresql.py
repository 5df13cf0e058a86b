"""PostgreSQL: connecting, and everything in which it differs from SQLite."""
import contextlib
import itertools
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, cast

import peewee
import psycopg
from playhouse.postgres_ext import PooledPsycopg3Database, Psycopg3ExtAdapter
from psycopg.conninfo import conninfo_to_dict

from ..errors import UnusableDatabase
from ..metrics import Metrics
from ..settings import join_host_and_port
from . import timeouts
from .current import DayRule
from .queries import join_names
from .triggers import Trigger

# The key of the advisory lock under which one process migrates: "payments" in ASCII.
MIGRATION_LOCK_KEY = 0x7061796D656E7473

# The trigger functions that the migrations make, each with its body, and the triggers that call them. A test compares
# them with a migrated database.
FUNCTIONS = {
    "refuse_to_change_history":
    "BEGIN RAISE EXCEPTION 'history is append-only' USING ERRCODE = 'restrict_violation'; END",
    "reject_change":
    "BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END",
}
# The tables whose rows cannot be changed or deleted, each with the function of its triggers.
APPEND_ONLY = {"history": "refuse_to_change_history"} | dict.fromkeys(
    ["posting", "closing", "closing_line", "closing_user", "cash_movement"], "reject_change"
)
TRIGGERS = {
    Trigger(table, f"{table}_{name}"): f"{when} ON {table} FOR EACH {unit}"
    for table in APPEND_ONLY
    for name, when, unit in (
        ("is_not_changed", "BEFORE DELETE OR UPDATE", "ROW"),
        ("is_not_emptied", "BEFORE TRUNCATE", "STATEMENT"),
    )
}
# Rows of a long result that are fetched at once.
ROWS_PER_FETCH = 2000
# A trigger's state "A" is ENABLE ALWAYS: it runs in replication sessions too.
READ_TRIGGERS = """
SELECT relname, tgname, tgenabled, replace(pg_get_triggerdef(pg_trigger.oid, true), '"', ''), lanname, prosrc
FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid
JOIN pg_proc ON pg_proc.oid = tgfoid
JOIN pg_language ON pg_language.oid = prolang
WHERE NOT tgisinternal AND pg_table_is_visible(tgrelid)
"""


class TimeoutConnection(psycopg.Connection[Any]):
    """A connection that closes when the server accepts a statement and does not respond in time.

    psycopg 3.3 has no such timeout. tcp_user_timeout does not notice a server process that hangs, because its kernel
    still acknowledges packets. Without this class, requests to a stopped server (SIGSTOP) never ended.
    """

    statement_timeout_seconds: float | None = timeouts.STATEMENT_TIMEOUT_SECONDS
    # Whether a pooler such as PgBouncer is between this connection and the server.
    is_pooled = False

    def wait(self, gen: Any, interval: float = 1, timeout: float | None = None) -> Any:
        """Wait for what psycopg does next; raises OperationalError after the timeout."""
        try:
            return super().wait(gen, interval, timeout or self.statement_timeout_seconds)
        except psycopg.errors._WaitTimeout:
            self.close()
            raise psycopg.OperationalError("the server took too long to answer") from None


class TimeoutAdapter(Psycopg3ExtAdapter):
    """Peewee's adapter for psycopg, with connections that have a timeout."""

    def connect(self, db: peewee.Database, **params: Any) -> TimeoutConnection:
        """Return a new connection, with the session settings of the service."""
        connection = TimeoutConnection.connect(dbname=db.database, autocommit=True, **params)
        try:
            # Not at the start of the session (`options`): poolers reject that, or drop it silently.
            sql = f"SELECT pg_backend_pid(); {join_settings('SET', db.session)}"
            ((backend,),) = connection.execute(sql).fetchall()
        except BaseException:
            connection.close()
            raise
        # A pooler makes up the id that it sends at the start. It may run each transaction on another connection of its
        # own, which has not what psycopg prepared. Prepared statements make a payment faster by half a millisecond.
        connection.is_pooled = backend != connection.info.backend_pid
        if connection.is_pooled:
            connection.prepare_threshold = None
        return connection


def join_settings(command: str, settings: Mapping[str, str]) -> str:
    """Return statements that give each setting its value, by `SET` or `SET LOCAL`."""
    return "; ".join(f"{command} {name} = '{value}'" for name, value in settings.items())


class Postgresql(PooledPsycopg3Database):
    """A PostgreSQL database and its pool of connections."""

    psycopg3_adapter = TimeoutAdapter
    advice = "see that the server runs and lets this user write, and that PAYMENTS_DATABASE_URL is right"
    # PostgreSQL's own locks keep writes apart.
    write_lock = contextlib.nullcontext()

    def __init__(self, url: str, connections: int, metrics: Metrics, day_rule: DayRule = DayRule()) -> None:
        self.metrics = metrics
        self.day_rule = day_rule
        given = conninfo_to_dict(url)
        server = join_host_and_port(str(given.get("host", "")), given.get("port") or 5432)
        self.location = f"postgresql://{server}/{given['dbname']}"
        lock_timeout = timeouts.LOCK_TIMEOUT_SECONDS
        # What every write relies on, whatever the defaults of the server, the database and the role are.
        self.session = {
            # A commit returns once the payment is on the disk, whatever the server's default is.
            "synchronous_commit": "on",
            "lock_timeout": f"{lock_timeout}s",
            # The server rolls back the transaction of a box that lost its power.
            "idle_in_transaction_session_timeout": f"{2 * lock_timeout}s",
            # psycopg reads no other form of times.
            "datestyle": "ISO",
        }
        network = {
            "connect_timeout": lock_timeout,
            # These notice a server that has lost its power or its network, and so never closes the connection.
            "tcp_user_timeout": lock_timeout * 1000,
            "keepalives_idle": lock_timeout,
            "keepalives_interval": lock_timeout,
        }
        super().__init__(
            given.pop("dbname"),
            timeout=lock_timeout,
            max_connections=connections,
            **network | given | {"client_encoding": "utf8"},
        )
        self._stream_numbers = itertools.count()
        # When the last attempt to connect failed, in monotonic seconds, and why.
        self._last_failure: tuple[float, str] | None = None

    def _connect(self) -> Any:
        # Peewee 4.5 lets one thread at a time connect. Requests that waited while that failed do not try again: eight
        # of them would take 40 s in place of 5 for an unreachable server. psycopg_pool 3.3 would let all threads wait
        # for 5 s, also where the connection is rejected at once.
        if self._last_failure and self._last_failure[0] > timeouts.find_arrival():
            raise psycopg.OperationalError(self._last_failure[1])
        try:
            connection = super()._connect()
            self._last_failure = None
            return connection
        except psycopg.OperationalError as error:
            self._last_failure = monotonic(), str(error)
            raise

    def begin(self, isolation_level: str | None = None) -> None:
        """Begin a transaction with the settings that every write relies on.

        They are set for each transaction: a pooler may run it on another connection than the last one. All statements
        are sent at once, so they take no more round trips than BEGIN alone.
        """
        # A request may have spent a part of its lock timeout in the server's queue.
        settings = self.session | {"lock_timeout": f"{int(timeouts.find_lock_timeout() * 1000)}ms"}
        self.execute_sql(f"BEGIN ISOLATION LEVEL READ COMMITTED; {join_settings('SET LOCAL', settings)}")

    def _is_closed(self, conn: Any) -> bool:
        # Peewee 4.5 runs SELECT 1 with the pool locked: with eight idle connections to a hung server, all threads would
        # wait for eight statement timeouts. An idle connection has something to read only if the server ends it.
        if not conn.closed:
            idle = select.poll()
            idle.register(conn.fileno(), select.POLLIN)
            if not idle.poll(0):
                return False
            conn.close()
        return True

    def find_fault(self) -> str | None:
        """Return None: the server looks after its files and its disk."""
        return None

    def find_file_fault(self) -> str | None:
        """Return None: files are the server's."""
        return None

    def exists(self) -> bool:
        """Return True: the server itself reports a missing database."""
        return True

    def check(self) -> None:
        """Do nothing: the server checks its files."""

    def check_files(self) -> None:
        """Do nothing: the server checks its files."""

    def complete_check(self) -> None:
        """Do nothing: the server checks its files."""

    def check_beside(self) -> None:
        """Do nothing: the server checks its files."""

    def reject_second_path(self) -> None:
        """Do nothing: the server looks after its files."""

    def find_warnings(self) -> Iterator[str]:
        """Yield what may become a fault, each with what to do."""
        for name in ("fsync", "full_page_writes"):
            (value,) = self.execute_sql(f"SHOW {name}").fetchone()
            if value != "on":
                yield f"the server's {name} is off: a power cut can destroy it. Set {name} = on in postgresql.conf"

    def expected_triggers(self) -> dict[Trigger, str]:
        """Return the triggers that the migrations make, each with its definition."""
        return {
            trigger: f"A: CREATE TRIGGER {trigger.name} {when} EXECUTE FUNCTION {APPEND_ONLY[trigger.table]}(): "
            f"plpgsql {FUNCTIONS[APPEND_ONLY[trigger.table]]}"
            for trigger, when in TRIGGERS.items()
        }

    def read_triggers(self) -> dict[Trigger, str]:
        """Return the triggers that the database has, each with its state, its definition and its function."""
        return {
            Trigger(table, name): " ".join(f"{state}: {definition}: {language} {body}".split())
            for table, name, state, definition, language, body in self.execute_sql(READ_TRIGGERS).fetchall()
        }

    def now(self) -> datetime:
        """Return the time by the server's clock: those of the machines that use it may differ."""
        (now,) = self.execute_sql("SELECT clock_timestamp()").fetchone()
        return cast(datetime, now)

    def for_update(self, query: peewee.ModelSelect, skip_locked: bool = False) -> peewee.ModelSelect:
        """Return the query as SELECT FOR UPDATE: it locks the rows that it finds until the transaction ends.

        It waits for rows that another transaction has locked, or skips them with `skip_locked`.
        """
        return query.for_update(skip_locked=skip_locked)

    def for_share(self, query: peewee.ModelSelect) -> peewee.ModelSelect:
        """Return the query as SELECT FOR SHARE: until the transaction ends, others may read the rows but not lock them.

        It waits for rows that another transaction has locked for an update, and returns them as they are then.
        """
        return query.for_update("FOR SHARE")

    def lock_text(self, text: str) -> None:
        """Lock a text until the transaction ends, such as the id of something that has no row of its own.

        It waits for another transaction that has locked the text, and now and then for one that has locked another.
        """
        self.execute_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (text,))

    def sort_by_bytes(self, text: peewee.ColumnBase) -> peewee.ColumnBase:
        """Return a text that is compared byte by byte, and not as the database's collation compares it.

        cs_CZ, da_DK and others sort digits and letters in another order than hexadecimal digits.
        """
        return text.collate('"C"')

    def select_rows(self, query: peewee.ModelSelect, columns: Sequence[peewee.ColumnBase]) -> peewee.Select:
        """Return a query for columns as one whose cursor `read_rows` reads; JSON takes PostgreSQL twice as long."""
        return query.select(*columns)

    def read_rows(self, cursor: Any, decode: Callable[[str], list[Any]]) -> list[Any]:
        """Return the rows of a query of `select_rows`, in no particular order."""
        rows: list[Any] = cursor.fetchall()
        return rows

    def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert many rows of values as they are stored, and return how many were. Call it in a write transaction."""
        with peewee.__exception_wrapper__, self.connection().cursor() as cursor:
            with cursor.copy(f'COPY "{table}" ({join_names(columns)}) FROM STDIN') as copy:
                for row in rows:
                    copy.write_row(row)
            return int(cursor.rowcount)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let every query see the database as it is now, while the service goes on. Queries may take long."""
        connection = self.connection()
        connection.statement_timeout_seconds = None
        try:
            with self.atomic():
                self.execute_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                # By default, a cursor's plan is for its first rows.
                settings = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
                self.execute_sql(join_settings("SET LOCAL", settings | {"cursor_tuple_fraction": "1"}))
                yield
        finally:
            connection.statement_timeout_seconds = timeouts.STATEMENT_TIMEOUT_SECONDS

    def stream(self, query: peewee.ModelSelect) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, as the driver returns them, without keeping them. Call it in a snapshot."""
        sql, parameters = self.get_sql_context().sql(query).query()
        with self.connection().cursor(name=f"stream_{next(self._stream_numbers)}") as cursor:
            cursor.itersize = ROWS_PER_FETCH
            yield from cursor.execute(sql, parameters)

    @contextlib.contextmanager
    def migrating(self, create: bool = True, check_seconds: float | None = None) -> Iterator[None]:
        """Let one process at a time migrate, in one transaction; raises `UnusableDatabase` unless it is UTF-8.

        The database itself is created on the server, whatever `create` says, and checked there.
        """
        connection = self.connection()
        # A migration may take long.
        connection.statement_timeout_seconds = None
        try:
            with self.atomic():
                self.execute_sql("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
                self.execute_sql("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK_KEY,))
                (encoding,) = self.execute_sql("SHOW server_encoding").fetchone()
                if encoding != "UTF8":
                    raise UnusableDatabase(f"its encoding is {encoding}: create it with the encoding UTF8")
                yield
        finally:
            connection.statement_timeout_seconds = timeouts.STATEMENT_TIMEOUT_SECONDS
