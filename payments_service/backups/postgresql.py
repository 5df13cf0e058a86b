"""Backups of PostgreSQL: dumps in the custom format of pg_dump, made and restored by PostgreSQL's programs."""
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import psycopg
from psycopg.conninfo import make_conninfo

from ..database.postgresql import FUNCTIONS, Postgresql, join_settings
from ..models import TABLES
from . import files
from .entries import OwnEntries, find_own_entries
from .files import BackupError, Progress

# libpq marks the connection parameters that hold a secret, such as sslpassword, with "*".
SECRET_PARAMETERS = {
    option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.dispchar == b"*"
}

# One transaction drops the old data and restores the new. Its locks block writes but let pg_dump read the old data.
BEGIN = """
SET client_min_messages = warning;
{settings};
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
BEGIN;
{lock}
SELECT {count_payments};
"""
# Drops everything that this release has created. An older backup would not drop the tables that are newer than itself.
# Without CASCADE, it fails where something else in the database depends on a table, such as a view.
DROP = """
DROP TABLE IF EXISTS {tables};
DROP FUNCTION IF EXISTS {functions};
"""
FIND_TABLES = """
SELECT relname, format('%%I.%%I', nspname, relname) FROM unnest(%s::text[]) AS name
JOIN pg_class ON pg_class.oid = to_regclass(name) JOIN pg_namespace ON pg_namespace.oid = relnamespace
"""


def back_up(database: Postgresql, backup: Path, progress: Progress) -> None:
    """Write a backup of the service's tables; raises `BackupError` and OSError."""
    _reject_pooler(database)
    tables = _find_tables(database)
    if not tables:
        raise BackupError(f"{database.location} is not a payments database")
    with files.staging_folder(backup.parent) as staging:
        dump = staging / backup.name
        _dump(database, tables.values(), dump, progress)
        if files.FIRST_MIGRATION not in _migrations_in(dump, _own_entries(dump)):
            raise BackupError(f"{database.location} is not a payments database")
        files.move_into_place(dump, backup)


def restore(database: Postgresql, file: Path, timestamp: str, force: bool, progress: Progress) -> Path | None:
    """Restore a backup and return the path of a dump of the old database beside it, if there was an old database.

    Only the service's tables are replaced, also by a backup of all that the database held, as earlier releases made it.
    Raises `BackupError` and OSError.
    """
    progress("Checking")
    _check_readable(file)
    own = _own_entries(file)
    files.check_migrations(file, _migrations_in(file, own))
    _reject_pooler(database)
    tables = _find_tables(database)
    if tables and not _is_migrated(database, tables):
        raise BackupError(f"the tables {', '.join(tables)} of {database.location} are not the service's own")
    database.close()
    begin = BEGIN.format(
        settings=join_settings("SET", database.session),
        lock=f"LOCK TABLE {', '.join(tables.values())} IN EXCLUSIVE MODE;" if tables else "",
        count_payments="count(*) FROM payment" if "payment" in tables else "0",
    )
    kept = file.with_name(f"payments-before-{timestamp}.dump") if tables else None
    if kept and kept.exists():
        raise BackupError(f"{kept} already exists")
    with files.staging_folder(file.parent) as staging, _psql(database) as (sql_input, output):
        sql_input.write(begin)
        sql_input.flush()
        files.require_force(force, int(output.readline()))
        if kept:
            _dump(database, tables.values(), staging / kept.name, progress)
            files.move_into_place(staging / kept.name, kept)
        progress("Restoring")
        sql_input.write(DROP.format(tables=", ".join(TABLES), functions=", ".join(f"{name}()" for name in FUNCTIONS)))
        sql_input.write(own.functions())
        sql_input.flush()
        wanted = staging / "entries"
        wanted.write_text("\n".join(own.lines))
        options = [f"--use-list={wanted}", "--no-owner", "--no-privileges", "--no-comments", "--file=-"]
        _run("pg_restore", *options, str(file), stdout=sql_input)
        # The last statement: if this process or psql ends before it, PostgreSQL rolls everything back.
        sql_input.write("COMMIT;\n")
    return kept


def _reject_pooler(database: Postgresql) -> None:
    """Raise `BackupError` behind a pooler.

    pg_dump changes settings of its session, the search path too. A pooler would hand them on to the service.
    """
    if database.connection().is_pooled:
        raise BackupError(f"{database.location} is a pooler: run this with the URL of the PostgreSQL server itself")


def _find_tables(database: Postgresql) -> dict[str, str]:
    """Return the names of the service's tables that the database has, each as SQL with its schema."""
    return dict(database.execute_sql(FIND_TABLES, (TABLES,)).fetchall())


def _is_migrated(database: Postgresql, tables: dict[str, str]) -> bool:
    """Tell whether the service has made the tables, and not another program with tables of the same names."""
    if "schema_migration" not in tables:
        return False
    sql = "SELECT count(*) FROM schema_migration WHERE name = %s"
    return bool(database.execute_sql(sql, (files.FIRST_MIGRATION,)).fetchone()[0])


def _dump(database: Postgresql, tables: Iterable[str], target: Path, progress: Progress) -> None:
    progress("Dumping")
    conninfo, password = _make_conninfo(database)
    options = ["--format=custom", "--no-password", "--no-privileges", f"--file={target}", f"--dbname={conninfo}"]
    _run("pg_dump", *options, *(f"--table={table}" for table in tables), env=password)
    progress("Checking")
    _check_readable(target)


def _check_readable(file: Path) -> None:
    """Raise `BackupError` unless the whole dump can be read. Listing its contents would read only its header."""
    _run("pg_restore", f"--file={os.devnull}", str(file))


def _own_entries(file: Path) -> OwnEntries:
    """Return the entries of a dump that are the service's; raises `BackupError` if it has not the service's tables."""
    statements = _run("pg_restore", "--section=post-data", "--file=-", str(file), stdout=subprocess.PIPE)
    own = find_own_entries(_run("pg_restore", "--list", str(file), stdout=subprocess.PIPE), statements)
    if own is None:
        raise BackupError(f"{file} is not a payments backup")
    return own


def _migrations_in(file: Path, own: OwnEntries) -> list[str]:
    """Return the names of the migrations that were applied to the dumped database."""
    options = ["--data-only", f"--schema={own.schema}", "--table=schema_migration", "--file=-"]
    script = _run("pg_restore", *options, str(file), stdout=subprocess.PIPE)
    rows = script.partition("\nCOPY ")[2].partition("\n\\.")[0].splitlines()[1:]
    return [row.split("\t")[1] for row in rows]


@contextmanager
def _psql(database: Postgresql) -> Iterator[tuple[IO[str], IO[str]]]:
    """Run psql and provide its input and output. It stops at the first error in the SQL that it reads.

    Raises `BackupError` if psql fails.
    """
    conninfo, password = _make_conninfo(database)
    command = [_find_program("psql"), "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only"]
    command += ["--set=ON_ERROR_STOP=1", f"--dbname={conninfo}"]
    environment = os.environ | {"LC_ALL": "C"} | password
    failure = None
    with tempfile.TemporaryFile("w+") as errors:
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=errors, text=True
        ) as psql:
            try:
                yield cast(IO[str], psql.stdin), cast(IO[str], psql.stdout)
            except (BackupError, BrokenPipeError, ValueError) as error:
                # If psql has failed too, its own message is the cause, and is raised below.
                failure = error
            psql.communicate()
        errors.seek(0)
        if psql.returncode:
            raise BackupError(_error_message("psql", errors.read())) from failure
    if failure:
        raise failure


def _make_conninfo(database: Postgresql) -> tuple[str, dict[str, str]]:
    """Return the connection string without the password, and the password as an environment variable.

    Raises `BackupError` for other secrets: they can only be passed as arguments, which all users can see.
    """
    parameters = dict(database.connect_params)
    password = {"PGPASSWORD": parameters.pop("password")} if "password" in parameters else {}
    for name in SECRET_PARAMETERS & parameters.keys():
        raise BackupError(f"{name} cannot be passed to PostgreSQL's programs without showing it to all users")
    return make_conninfo(dbname=database.database, **parameters), password


def _find_program(name: str) -> str:
    path = shutil.which(name)
    if not path:
        raise BackupError(f"{name} is not installed: install the package postgresql-client")
    return path


def _run(program: str, *options: str, env: dict[str, str] | None = None, stdout: int | IO[str] | None = None) -> str:
    """Run one of PostgreSQL's programs and return what it wrote to a pipe; raises `BackupError` if it fails."""
    command = [_find_program(program), *options]
    # In other languages, `_error_message` would not recognize the messages.
    environment = os.environ | {"LC_ALL": "C"} | (env or {})
    result = subprocess.run(command, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise BackupError(_error_message(program, result.stderr))
    return result.stdout or ""


def _error_message(program: str, stderr: str) -> str:
    message = " ".join(stderr.split()) or f"{program} failed"
    # An older pg_dump rejects a newer server. A newer pg_restore may use settings that an older server does not have.
    if "server version mismatch" in stderr or "unrecognized configuration parameter" in stderr:
        return f"install a postgresql-client of the server's version: {message}"
    return message
