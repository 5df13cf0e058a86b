"""SQLite only: locks, files and disks"""
import contextlib
import errno
import gc
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from payments_service import database

from ..support.engines import on_sqlite
from ..support.migrating import migrate_new
from ..support.payments import payment
from ..support.project import PROJECT
from ..support.rows import Rows
from ..support.sqlite import can_trace, damage
from ..support.waiting import wait_until

LIMITED_SERVER = PROJECT / "tests" / "support" / "limited_server.py"

pytestmark = on_sqlite


@pytest.fixture
def file(database_url: str) -> Path:
    """Return the path of the database."""
    return Path(database_url.removeprefix("sqlite:///"))


def test_an_amount_that_is_text_is_rejected(insert_payments):
    with pytest.raises(Rows.Rejected):
        insert_payments({"minor_units": "much"})


def test_a_fraction_of_a_minor_unit_is_rejected(insert_payments, rows):
    insert_payments({})
    with pytest.raises(Rows.Rejected):
        rows.execute("UPDATE payment SET minor_units = 4550.5")


def test_amounts_are_stored_as_integers(client, rows):
    client.post("/payments", json=payment())
    assert rows.all("SELECT typeof(minor_units) FROM payment") == [("integer",)]


def test_every_connection_syncs_commits_and_has_foreign_keys(app):
    with app.app_context():
        assert database.current.pragma("journal_mode") == "wal"
        assert database.current.pragma("synchronous") == 2
        assert database.current.pragma("foreign_keys") == 1


def test_sqlite_waits_for_locks_as_long_as_the_service_says(short_timeouts, app):
    with app.app_context():
        assert database.current.pragma("busy_timeout") == 1000


def test_a_write_takes_the_lock_before_it_reads(app, rows):
    @database.write()
    def try_beside():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rows.execute("PRAGMA busy_timeout = 0")
            rows.execute("BEGIN IMMEDIATE")

    with app.app_context():
        try_beside()


@pytest.mark.parametrize("path", ["/payments", "/payments/ticket-payments"])
def test_a_rejected_write_leaves_no_open_cursor(client, add_payment, link, path):
    payment_id = add_payment(transaction_id="txn-1")
    link(payment_id, "ticket-1")
    bodies = {"/payments": payment(), "/payments/ticket-payments": {"payment_id": payment_id, "ticket_id": "ticket-1"}}
    gc.collect()
    gc.disable()
    try:
        assert client.post(path, json=bodies[path]).status_code == 409
        assert not [found for found in gc.get_objects() if isinstance(found, sqlite3.Cursor)]
    finally:
        gc.enable()


@pytest.fixture
def post_during_a_write(app, client):
    """Post a payment with one client while the application with another writes."""

    def post(writing_app=app):
        @database.write()
        def post_beside():
            with ThreadPoolExecutor(1) as other:
                return other.submit(client.post, "/payments", json=payment()).result()

        with writing_app.app_context():
            return post_beside()

    return post


def test_writers_of_one_process_wait_outside_sqlite(short_timeouts, client, post_during_a_write, caplog):
    assert post_during_a_write().status_code == 503
    assert "other writes of this process took too long" in caplog.text
    assert client.post("/payments", json=payment()).status_code == 201


def test_writers_of_two_processes_wait_outside_sqlite(
    short_timeouts, make_app, client, post_during_a_write, caplog
):
    # As in another process: the applications share no lock of Python.
    assert post_during_a_write(make_app()).status_code == 503
    assert "writes of other processes took too long" in caplog.text
    assert client.post("/payments", json=payment()).status_code == 201


def test_a_missing_folder_gives_503(client, file):
    moved = file.parent.rename(file.parent.with_name("moved"))
    assert client.post("/payments", json=payment()).status_code == 503
    moved.rename(file.parent)
    assert client.post("/payments", json=payment()).status_code == 201


@pytest.fixture
def many_payments(rows, insert_payments):
    """Insert payments for several pages of the file, and move them from the -wal file into it."""
    insert_payments(*({"id": f"{number:032x}", "transaction_id": f"txn-{number}"} for number in range(2000)))
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("damaged", ["first page", "last page"])
def test_a_database_damaged_while_serving_gives_503(client, many_payments, file, damaged):
    damage(file, damaged)
    response = client.get("/payments")
    assert response.status_code == 503
    assert "malformed" not in response.text


@pytest.mark.parametrize("damaged", ["first page", "last page"])
def test_a_damaged_database_stops_the_start_unchanged(
    app, many_payments, rows, start_server, file, damaged
):
    database.close(app)
    rows.connection.close()
    damage(file, damaged)
    log = file.with_name(f"{file.name}-wal")
    log.touch()
    before = file.read_bytes(), log.read_bytes()
    server = start_server()
    assert server.wait() == 1
    assert server.log[-1].startswith(f"payments: the database sqlite:///{file} cannot be used: it was left as it is")
    assert (file.read_bytes(), log.read_bytes()) == before


@pytest.fixture
def start_unchecked(app, many_payments, rows, start_server, file):
    """Start the service on a file that is too large to check before it serves; with `damaged`, that page is damaged."""

    def start(damaged=None):
        database.close(app)
        rows.connection.close()
        if damaged:
            damage(file, damaged)
        return start_server(program=[LIMITED_SERVER, PROJECT, "START_CHECK_SECONDS=0"])

    return start


def test_damage_in_a_large_file_is_found_while_it_is_served(start_unchecked):
    server = start_unchecked("last page")
    (logged,) = wait_until(lambda: [line for line in server.log if "The database is damaged: " in line])
    assert "level=error" in logged
    status, answer = server.request("GET", "/health/ready")
    assert (status, answer["code"]) == (503, 503)
    assert answer["message"].startswith("The database is damaged: ")
    assert answer["message"].endswith(": stop the service and restore a backup with --force.")
    assert server.request("GET", f"/payments/{UUID(int=1)}")[0] == 200


def test_a_large_file_without_damage_stays_ready(start_unchecked):
    server = start_unchecked()
    wait_until(lambda: [line for line in server.log if "The database was checked and is intact" in line])
    assert server.request("GET", "/health/ready") == (200, {"status": "ready"})
    assert server.stop() == 0


def test_a_migration_waits_for_the_check_of_a_large_file(start_unchecked, rows):
    rows.execute("DELETE FROM schema_migration WHERE name = (SELECT max(name) FROM schema_migration)")
    server = start_unchecked("last page")
    assert server.wait() == 1
    assert "cannot be used: it was left as it is, because it is damaged: " in server.log[-1]
    assert not [line for line in server.log if "up: " in line]


@pytest.mark.parametrize("content", [b"not a database " * 100, b"SQLite format 3\0", b"\0" * 8192])
@pytest.mark.empty_database
def test_a_file_that_is_no_database_stops_the_start_unchanged(start_server, file, content):
    file.write_bytes(content)
    server = start_server()
    assert server.wait() == 1
    assert len(server.log) == 1
    assert server.log[0].startswith(f"payments: the database sqlite:///{file} cannot be used: it was left as it is")
    assert file.read_bytes() == content


@pytest.mark.parametrize("left", ["empty", "missing"])
def test_a_wal_file_without_its_database_stops_the_start(server, start_server, file, left):
    assert server.request("POST", "/payments", payment())[0] == 201
    server.stop(signal.SIGKILL)
    log = file.with_name(f"{file.name}-wal")
    before = log.read_bytes()
    saved = file.read_bytes()
    file.unlink()
    if left == "empty":
        file.touch()
    again = start_server()
    assert again.wait() == 1
    assert f"it was left as it is, because it is empty or missing while {log} is not" in again.log[-1]
    assert log.read_bytes() == before
    file.write_bytes(saved)
    assert len(start_server().request("GET", "/payments")[1]) == 1


def test_a_write_interrupted_by_a_power_cut_is_rolled_back(app, many_payments, rows, start_server, file):
    database.close(app)
    # As in a new database, which has no -wal file yet.
    rows.execute("PRAGMA journal_mode = delete")
    rows.execute("PRAGMA cache_size = 1")
    rows.execute("BEGIN")
    rows.execute("UPDATE payment SET minor_units = 1")
    journal = file.with_name(f"{file.name}-journal")
    left = {path: path.read_bytes() for path in (file, journal)}
    rows.execute("ROLLBACK")
    rows.connection.close()
    for path, content in left.items():
        path.write_bytes(content)
    amounts = {payment["amount"] for payment in start_server().request("GET", "/payments")[1]}
    assert {str(amount) for amount in amounts} == {"45.50"}
    assert not journal.exists()


@pytest.mark.parametrize("path", ["", "/payments.db"])
def test_a_path_that_is_a_folder_stops_the_start_with_one_line(start_server, tmp_path, path):
    (tmp_path / "payments.db").mkdir()
    server = start_server(DATABASE_URL=f"sqlite:///{tmp_path}{path}")
    assert server.wait() == 1
    assert len(server.log) == 1
    assert server.log[0].startswith(f"payments: the database sqlite:///{tmp_path}{path} cannot be used: ")


def test_a_disk_that_cannot_be_read_is_not_ready(client, monkeypatch):
    def fail(_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(shutil, "disk_usage", fail)
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert "disk of the database cannot be read: Input/output error" in response.json["message"]


@pytest.mark.parametrize("room", [0, 5000])
def test_a_full_disk_gives_503_until_there_is_room(server, file, room):
    assert server.request("POST", "/payments", payment())[0] == 201
    _, unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    limit = file.with_name(f"{file.name}-wal").stat().st_size + room
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, unlimited))
    with contextlib.closing(server.send("POST", "/payments", payment(transaction_id="txn-2"))) as connection:
        response = connection.getresponse()
        assert (response.status, response.headers["Retry-After"]) == (503, "2")
        assert json.loads(response.read())["code"] == 503
    assert len(server.request("GET", "/payments")[1]) == 1
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
    assert server.request("POST", "/payments", payment(transaction_id="txn-2"))[0] == 201
    assert len(server.request("GET", "/payments")[1]) == 2


@pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace")
def test_a_payment_is_synced_before_it_is_acknowledged(start_server, tmp_path):
    trace = tmp_path / "trace"
    calls = "trace=pwrite64,fsync,fdatasync,sendto"
    # -D: the process that is started is the server, not strace.
    server = start_server(command=["strace", "-D", "-f", "-y", "-o", trace, "-e", calls])
    assert server.request("POST", "/payments", payment())[0] == 201
    assert server.stop() == 0
    wait_until(lambda: re.search(rf"^{server.process.pid} +\+\+\+ exited", trace.read_text(), re.MULTILINE))
    before = trace.read_text().partition('"HTTP/1.1 201')[0]
    _, written, since = before.rpartition("pwrite64")
    assert written
    assert re.search(r"f(data)?sync\(\d+<\S+\.db-wal>.*= 0", since, re.DOTALL)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root writes to everything")
def test_a_read_only_file_gives_503_until_it_is_writable(app, start_server, file):
    database.close(app)
    file.chmod(0o400)
    server = start_server(command=["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else [])
    assert server.request("GET", "/payments")[0] == 204
    assert server.request("POST", "/payments", payment())[0] == 503
    status, answer = server.request("GET", "/health/ready")
    assert (status, answer["message"]) == (503, "The database records no payments: see the log.")
    for path in file.parent.glob(f"{file.name}*"):
        path.chmod(0o600)
    assert server.request("POST", "/payments", payment())[0] == 201


def test_after_a_stop_the_database_is_one_file(server, file):
    server.request("POST", "/payments", payment())
    assert file.with_name(f"{file.name}-wal").exists()
    assert server.stop() == 0
    assert [path.name for path in file.parent.glob("*.db*")] == [file.name]


@pytest.mark.empty_database
def test_only_its_owner_reads_the_database(start_server, database_url, file):
    migrate_new(database_url)
    start_server()
    modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.glob("*.db*")}
    assert modes == {file.name: 0o600, f"{file.name}-shm": 0o600, f"{file.name}-wal": 0o600}
