"""SQLite's files: they stay the same while the service runs, and each has one path"""
import signal
from pathlib import Path

import pytest

from payments_service import database
from payments_service.database import sqlite

from ..support.clients import client_of
from ..support.engines import on_sqlite
from ..support.payments import payment
from ..support.tokens import make_token

pytestmark = on_sqlite


@pytest.fixture
def file(database_url: str) -> Path:
    """Return the path of the database."""
    return Path(database_url.removeprefix("sqlite:///"))


def transaction_ids(server):
    """Return the transaction ids of all payments."""
    return {listed["transaction_id"] for listed in server.request("GET", "/payments")[1]}


def test_a_forgotten_reader_leaves_no_large_wal_file(monkeypatch, make_app, rows, file):
    monkeypatch.setattr(sqlite, "MAX_WAL_BYTES", 100_000)
    client = client_of(make_app(), make_token())
    rows.execute("PRAGMA wal_autocheckpoint = 0")
    rows.execute("BEGIN")
    rows.all("SELECT * FROM payment")
    for number in range(20):
        client.post("/payments", json=payment(transaction_id=f"txn-{number}"))
    wal = Path(f"{file}-wal")
    assert wal.stat().st_size > 100_000
    rows.execute("ROLLBACK")
    rows.execute("PRAGMA wal_checkpoint(FULL)")
    client.post("/payments", json=payment(transaction_id="later"))
    assert wal.stat().st_size <= 100_000


# At the start


def last_line(server):
    """Return the one line with which a server has ended."""
    assert server.wait() == 1
    assert len(server.log) == 1, server.log
    return server.log[0]


# One path


def test_a_link_to_the_file_is_followed(start_server, file, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(file)
    server = start_server(DATABASE_URL=f"sqlite:///{link}")
    assert server.request("POST", "/payments", payment())[0] == 201
    assert Path(f"{file}-wal").exists()
    assert not Path(f"{link}-wal").exists()
    # The service stays with the file that the link led to.
    link.unlink()
    assert server.request("POST", "/payments", payment(transaction_id="txn-2"))[0] == 201


@pytest.mark.parametrize("command", ["start", "migrate"])
def test_the_wal_file_beside_a_missing_target_survives(server, start_server, make_new_app, file, tmp_path, command):
    link = tmp_path / "link.db"
    link.symlink_to(file)
    server.request("POST", "/payments", payment())
    server.stop(signal.SIGKILL)
    saved = file.read_bytes(), Path(f"{file}-wal").read_bytes()
    file.unlink()
    if command == "start":
        line = last_line(start_server(DATABASE_URL=f"sqlite:///{link}"))
    else:
        line = make_new_app(DATABASE_URL=f"sqlite:///{link}").test_cli_runner().invoke(args=["migrate"]).output
    assert "it is empty or missing while" in line
    assert not file.exists()
    file.write_bytes(saved[0])
    assert Path(f"{file}-wal").read_bytes() == saved[1]
    assert transaction_ids(start_server()) == {"txn-1"}


def test_a_restore_replaces_the_target_and_not_the_link(make_app, client, file, tmp_path):
    client.post("/payments", json=payment())
    runner = client.application.test_cli_runner()
    backup = runner.invoke(args=["backup", str(tmp_path / "backups")]).output.strip()
    database.close(client.application)
    link = tmp_path / "link.db"
    link.symlink_to(file)
    before = file.stat().st_ino
    app = make_app(DATABASE_URL=f"sqlite:///{link}")
    database.close(app)
    result = app.test_cli_runner().invoke(args=["restore", backup, "--force"])
    assert result.exit_code == 0, result.output
    assert link.is_symlink()
    assert file.stat().st_ino != before
    assert f"{file}.before-" in result.output
