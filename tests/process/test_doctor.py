"""flask --app wsgi doctor"""
import http.server
import os
import socket
from datetime import datetime, timedelta, timezone

import pytest

from payments_service.database import sqlite

from ..support.clients import client_of
from ..support.closings import close
from ..support.engines import on_postgresql, on_sqlite
from ..support.migrating import migrate
from ..support.payments import payment
from ..support.rows import stored
from ..support.serving import serving
from ..support.tampering import without_triggers
from ..support.tokens import SECRET, make_token


@pytest.fixture
def findings(make_new_app, free_port):
    """Run the command, by default with a port nobody listens on. Return its exit code and its findings by subject."""

    def run(**settings):
        app = make_new_app(**{"PORT": free_port} | settings)
        result = app.test_cli_runner().invoke(args=["doctor"])
        found = {}
        for line in result.output.splitlines():
            level, text = line.split(maxsplit=1)
            found.setdefault(text.partition(":")[0], []).append((level, text))
        return result.exit_code, found

    return run


@pytest.fixture
def free_port():
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_a_healthy_installation_has_no_faults(server, findings):
    code, found = findings(PORT=server.port, TIME_ZONE="UTC")
    assert code == 0
    levels = [level for lines in found.values() for level, text in lines if "fsync" not in text]
    assert levels == ["ok"] * 5
    assert set(found) == {"access tokens", "database", "clock", "business day", "port"}


def test_a_business_day_without_a_time_zone_is_a_warning(findings, make_app):
    make_app()
    _, found = findings(DAY_ENDS="04:00")
    assert found["business day"] == [
        ("warning", "business day: it ends at 04:00 UTC: set PAYMENTS_TIME_ZONE, if only to UTC")
    ]
    _, found = findings(DAY_ENDS="04:00", TIME_ZONE="Europe/Berlin")
    assert found["business day"][0][1].endswith("it ends at 04:00 in Europe/Berlin")


@on_sqlite
@pytest.mark.empty_database
def test_a_database_that_is_not_there_is_not_made(findings, database_url, tmp_path):
    code, found = findings()
    assert code == 1
    assert found["database"][0][0] == "fault"
    assert "is missing: see that its disk is mounted" in found["database"][0][1]
    assert not list(tmp_path.iterdir())


def test_a_database_that_is_not_up_to_date_is_a_fault(findings, make_new_app, rows):
    migrate(make_new_app())
    rows.execute("DELETE FROM schema_migration WHERE name = '0004_idempotency_keys'")
    code, found = findings()
    assert code == 1
    assert found["database"][0][0] == "fault"
    assert "0004_idempotency_keys" in found["database"][0][1]


@on_sqlite
def test_a_log_without_its_database_is_a_fault(findings, make_app, rows):
    file = make_app().extensions["payments"].database.path
    rows.execute("INSERT INTO method (id, name) VALUES ('x', 'x')")
    file.unlink()
    code, found = findings()
    assert code == 1
    assert "empty or missing" in found["database"][0][1]
    assert "restore a backup with --force" in found["database"][0][1]
    assert not file.exists()


def test_the_required_claims_are_printed(findings):
    _, found = findings(JWT_ISSUER="https://sign-in.example", JWT_AUDIENCE="payments")
    assert "iss 'https://sign-in.example', aud 'payments'" in found["access tokens"][0][1]


@on_sqlite
def test_a_damaged_file_is_a_fault_and_is_left_as_it_is(findings, make_app):
    app = make_app()
    file = app.extensions["payments"].database.path
    app.extensions["payments"].database.close_idle()
    damaged = file.read_bytes()[:4096] + b"x" * 4096 + file.read_bytes()[8192:]
    file.write_bytes(damaged)
    code, found = findings()
    assert code == 1
    assert "damaged" in found["database"][0][1]
    assert file.read_bytes() == damaged


@on_postgresql
def test_a_server_that_is_not_there_is_a_fault(findings):
    code, found = findings(DATABASE_URL="postgresql://payments:secret-word@127.0.0.1:1/payments")
    assert code == 1
    assert found["database"][0][0] == "fault"
    assert "secret-word" not in str(found)
    assert "PAYMENTS_DATABASE_URL" in found["database"][0][1]


@on_postgresql
def test_a_server_that_does_not_wait_for_its_disk_is_a_warning(findings, make_app):
    make_app()
    _, found = findings()
    assert [level for level, text in found["database"] if "fsync" in text] == ["warning"]


@on_sqlite
def test_a_file_that_others_may_read_is_a_warning(findings, make_app):
    file = make_app().extensions["payments"].database.path
    file.chmod(0o644)
    _, found = findings()
    assert ("warning", f"database: others may read payments: chmod o= {file}") in found["database"]


@on_sqlite
@pytest.mark.parametrize(
    ("name", "level", "code"), [("MIN_FREE_BYTES", "fault", 1), ("LOW_FREE_BYTES", "warning", 0)]
)
def test_a_disk_that_is_nearly_full_is_named(findings, make_app, monkeypatch, name, level, code):
    make_app()
    monkeypatch.setattr(sqlite, name, 2**60)
    found_code, found = findings()
    assert found_code == code
    assert [found_level for found_level, text in found["database"] if "MiB are free" in text] == [level]


def test_a_secret_that_looks_guessable_is_a_warning(findings):
    _, found = findings(JWT_SECRET="passwordpasswordpasswordpassword")
    assert [level for level, _ in found["access tokens"]] == ["ok", "warning"]
    assert "passwordpassword" not in str(found)


def test_a_secret_that_others_may_read_is_a_fault(findings, tmp_path):
    file = tmp_path / "jwt-secret"
    file.write_text(SECRET)
    file.chmod(0o644)
    code, found = findings(JWT_SECRET=None, JWT_SECRET_FILE=str(file))
    assert code == 1
    assert ("fault", f"access tokens: all users can read the secret: chmod o= {file}") in found["access tokens"]
    # For a secret that belongs to root and the service's group.
    file.chmod(0o640)
    _, found = findings(JWT_SECRET=None, JWT_SECRET_FILE=str(file))
    assert [level for level, _ in found["access tokens"]] == ["ok"]


@pytest.mark.parametrize(("ahead", "level"), [(timedelta(minutes=1), "ok"), (timedelta(days=1), "fault")])
def test_a_clock_that_is_behind_the_last_payment_is_a_fault(findings, make_app, rows, ahead, level):
    client = client_of(make_app(), make_token())
    payment_id = client.post("/payments", json=payment()).json["id"]
    entry = {"payment_id": stored(payment_id), "request_id": "request-1", "action": "deleted", "before": "{}"}
    moment = (datetime.now(timezone.utc) + ahead).isoformat(sep=" ", timespec="microseconds")
    rows.insert("history", entry | {"at": moment})
    _, found = findings()
    assert [level for level, _ in found["clock"]] == [level]


def test_a_port_at_which_nothing_responds_is_a_warning(findings, make_app):
    make_app()
    code, found = findings()
    assert code == 0
    assert found["port"][0][0] == "warning"


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("::", "[::1]"), ("*", "127.0.0.1")])
def test_the_port_is_shown_as_an_address_that_works(findings, make_app, free_port, host, shown):
    make_app()
    _, found = findings(HOST=host)
    assert found["port"][0][1].startswith(f"port: http://{shown}:{free_port} ")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"7", b"{}", b'{"status": "ok"}', b'{"message": null}'])
def test_a_port_that_another_program_has_is_a_fault(findings, body):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as other:
        code, found = findings(PORT=other.server_address[1])
    assert code == 1
    assert "another program" in found["port"][0][1]


@on_sqlite
def test_a_service_that_is_not_ready_is_a_fault_with_its_reason(server, findings, tmp_path):
    (file,) = tmp_path.glob("payments-*.db")
    aside = file.rename(tmp_path / "aside.db")
    code, found = findings(PORT=server.port)
    assert code == 1
    assert found["port"][0][0] == "fault"
    assert "deleted or replaced" in found["port"][0][1]
    aside.rename(file)


@on_sqlite
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_service_without_its_side_files_is_a_fault(server, findings, tmp_path, suffix):
    server.request("POST", "/payments", payment())
    (lost,) = tmp_path.glob(f"payments-*.db{suffix}")
    lost.unlink()
    code, found = findings(PORT=server.port)
    assert code == 1
    reason = f"The file {lost} was deleted or replaced while the service ran: start the service again."
    assert ("fault", f"port: http://127.0.0.1:{server.port} responds, but is not ready: {reason}") in found["port"]


@on_sqlite
def test_a_hard_link_is_a_fault_that_needs_no_backup(findings, make_app, tmp_path):
    os.link(make_app().extensions["payments"].database.path, tmp_path / "second.db")
    code, found = findings()
    assert code == 1
    assert "it has a second name (a hard link)" in found["database"][0][1]
    assert "backup" not in found["database"][0][1]


def test_newest_closings_are_verified(findings, client, add_payment, rows):
    for _ in range(4):
        add_payment()
        close(client)
    code, found = findings()
    assert code == 0
    assert found["closings"] == [("ok", "closings: 2 to 4 are as they were sealed")]
    with without_triggers(rows):
        rows.execute("UPDATE history SET request_id = 'another' WHERE closing = 3")
    code, found = findings()
    assert code == 1
    ((level, text),) = found["closings"]
    assert level == "fault"
    assert "closing 3: one of its rows was changed or deleted" in text
