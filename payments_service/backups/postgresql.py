"""Backups of PostgreSQL: dumps by its own programs, in its custom format."""
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import psycopg
from psycopg.conninfo import make_conninfo

from ..database.postgresql import Postgresql
from ..models import Table
from . import files
from .files import BackupError, Progress

TABLES = [*(table._meta.table_name for table in Table.__subclasses__()), "schema_migration"]
SECRETS = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.dispchar == b"*"}

# The old and the new data are one transaction. Nobody writes from here on, but pg_dump can read.
BEGIN = """
SET client_min_messages = warning;
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
BEGIN;
{lock}
SELECT {payments};
"""
# All that this release has made, because an older backup does not name what it would have to drop.
DROP = """
DROP TABLE IF EXISTS {tables} CASCADE;
{functions}
"""
FUNCTIONS = """
SELECT DISTINCT format('DROP FUNCTION %%s CASCADE;', tgfoid::regprocedure) FROM pg_trigger
WHERE NOT tgisinternal AND tgrelid = ANY(%s::text[]::regclass[])
"""


def back_up(database: Postgresql, backup: Path, progress: Progress) -> None:
    """Write a backup; raises `BackupError` and OSError."""
    with files.unfinished(backup.parent) as folder:
        dump = folder / backup.name
        _dump(database, dump, progress)
        if files.FIRST_MIGRATION not in _migrations_in(dump):
            raise BackupError(f"{database.location} is not a database of payments")
        files.finish(dump, backup)


def restore(database: Postgresql, file: Path, moment: str, force: bool, progress: Progress) -> Path | None:
    """Restore a backup and return where a dump of the old database is, beside it; raises `BackupError` and OSError."""
    progress("Checking")
    _check(file)
    files.check_release(file, _migrations_in(file))
    tables = [name for name in TABLES if database.execute_sql("SELECT to_regclass(%s)", (name,)).fetchone()[0]]
    functions = [sql for (sql,) in database.execute_sql(FUNCTIONS, (tables,))]
    database.close()
    begin = BEGIN.format(
        lock=f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE;" if tables else "",
        payments="count(*) FROM payment" if "payment" in tables else "0",
    )
    kept = file.with_name(f"payments-before-{moment}.dump") if tables else None
    if kept and kept.exists():
        raise BackupError(f"{kept} is there already")
    with files.unfinished(file.parent) as folder, _psql(database) as (say, hear):
        say.write(begin)
        say.flush()
        files.check_force(force, int(hear.readline()))
        if kept:
            _dump(database, folder / kept.name, progress)
            files.finish(folder / kept.name, kept)
        progress("Restoring")
        say.write(DROP.format(tables=", ".join(TABLES), functions="\n".join(functions)))
        say.flush()
        options = ["--clean", "--if-exists", "--no-owner", "--no-comments", "--file=-"]
        _run("pg_restore", *options, str(file), stdout=say)
        # Only now: without it, whatever ends this process or that one, PostgreSQL takes all of it back.
        say.write("COMMIT;\n")
    return kept


def _dump(database: Postgresql, target: Path, progress: Progress) -> None:
    progress("Dumping")
    conninfo, secret = _connection(database)
    options = ["--format=custom", "--no-password", f"--file={target}", f"--dbname={conninfo}"]
    _run("pg_dump", *options, env=secret)
    progress("Checking")
    _check(target)


def _check(file: Path) -> None:
    """Raise `BackupError` unless a dump can be read to its end: to list its contents takes no more than its head."""
    _run("pg_restore", f"--file={os.devnull}", str(file))


def _migrations_in(file: Path) -> list[str]:
    options = ["--data-only", "--table=schema_migration", "--file=-"]
    script = _run("pg_restore", *options, str(file), stdout=subprocess.PIPE)
    rows = script.partition("\nCOPY ")[2].partition("\n\\.")[0].splitlines()[1:]
    return [row.split("\t")[1] for row in rows]


@contextmanager
def _psql(database: Postgresql) -> Iterator[tuple[IO[str], IO[str]]]:
    """Let psql run what is written to the one file, up to the first error, with its answers in the other.

    Raises `BackupError` if it fails.
    """
    conninfo, secret = _connection(database)
    command = [_program("psql"), "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only"]
    command += ["--set=ON_ERROR_STOP=1", f"--dbname={conninfo}"]
    environment = os.environ | {"LC_ALL": "C"} | secret
    failed = None
    with tempfile.TemporaryFile("w+") as errors:
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=errors, text=True
        ) as psql:
            try:
                yield cast(IO[str], psql.stdin), cast(IO[str], psql.stdout)
            except (BackupError, BrokenPipeError, ValueError) as error:
                # If psql has ended, it says better why.
                failed = error
            psql.communicate()
        errors.seek(0)
        if psql.returncode:
            raise BackupError(_reason("psql", errors.read())) from failed
    if failed:
        raise failed


def _connection(database: Postgresql) -> tuple[str, dict[str, str]]:
    """Return the connection parameters to show, and the password as PostgreSQL's programs take it."""
    parameters = dict(database.connect_params)
    secret = {"PGPASSWORD": parameters.pop("password")} if "password" in parameters else {}
    for name in SECRETS & parameters.keys():
        raise BackupError(f"PostgreSQL's programs take {name} only where everybody can read it")
    return make_conninfo(dbname=database.database, **parameters), secret


def _program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise BackupError(f"{name} is not installed: install the package postgresql-client")
    return found


def _run(program: str, *options: str, env: dict[str, str] | None = None, stdout: int | IO[str] | None = None) -> str:
    """Run one of PostgreSQL's programs and return what it has written to a pipe; raises `BackupError` if it fails."""
    command = [_program(program), *options]
    environment = os.environ | {"LC_ALL": "C"} | (env or {})
    result = subprocess.run(command, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise BackupError(_reason(program, result.stderr))
    return result.stdout or ""


def _reason(program: str, said: str) -> str:
    reason = " ".join(said.split()) or f"{program} failed"
    # An older pg_dump refuses the server, and a newer pg_restore may use settings that the server does not know.
    if "server version mismatch" in said or "unrecognized configuration parameter" in said:
        return f"install a postgresql-client of the server's version: {reason}"
    return reason
