"""The application under another WSGI server, which runs no migrations"""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.clients import client_of
from ..support.engines import on_sqlite
from ..support.payments import payment
from ..support.project import PROJECT, environment
from ..support.tokens import SECRET, make_token

ADVICE = "run `flask --app wsgi migrate`"


@pytest.fixture
def import_application(database_url):
    """Import the application as other servers do, and return what that logs."""

    def run(exit_code=0):
        settings = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET)
        command = [sys.executable, "-c", "import wsgi; wsgi.app"]
        result = subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True)
        assert result.returncode == exit_code, result.stderr
        return result.stderr.splitlines()

    return run


@pytest.fixture
def file(database_url):
    """Return the path of the SQLite database."""
    return Path(database_url.removeprefix("sqlite:///"))


@pytest.mark.empty_database
def test_a_missing_migration_is_one_line_at_the_start(import_application, rows):
    (line,) = import_application()
    assert "level=error" in line
    assert ADVICE in line


def test_a_migrated_database_is_no_line_at_the_start(import_application):
    assert import_application() == []


@pytest.mark.empty_database
@pytest.mark.parametrize("path", ["/payments", "/payments/methods", "/payments/payment-uuid-1"])
def test_each_response_says_what_is_missing(make_new_app, rows, path):
    response = client_of(make_new_app(), make_token()).get(path)
    assert (response.status_code, "Retry-After" in response.headers) == (503, False)
    assert ADVICE in response.json["message"]


@on_sqlite
@pytest.mark.empty_database
@pytest.mark.parametrize("missing", ["file", "folder"])
def test_a_missing_sqlite_file_is_named_and_not_created(make_new_app, import_application, file, missing, tmp_path):
    (line,) = import_application()
    assert "see that its disk is mounted" in line
    path = file if missing == "file" else tmp_path / "disk" / "payments.db"
    client = client_of(make_new_app(DATABASE_URL=f"sqlite:///{path}"), make_token())
    assert client.post("/payments", json=payment()).status_code == 503
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert "it is missing or empty: see that its disk is mounted" in response.json["message"]
    assert list(tmp_path.iterdir()) == []


@on_sqlite
def test_a_hard_link_stops_other_servers_with_one_line(import_application, file):
    os.link(file, f"{file}.second")
    (line,) = import_application(exit_code=1)
    assert "it has a second name (a hard link)" in line


@on_sqlite
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_other_servers_watch_the_files_of_sqlite(make_new_app, file, suffix):
    client = client_of(make_new_app(), make_token())
    assert client.post("/payments", json=payment()).status_code == 201
    Path(f"{file}{suffix}").unlink()
    assert client.post("/payments", json=payment(transaction_id="txn-2")).status_code == 503
    assert "deleted or replaced" in client.get("/health/ready").json["message"]


@on_sqlite
def test_a_hard_link_gets_503_where_nothing_migrates(make_new_app, file, caplog):
    os.link(file, f"{file}.second")
    assert client_of(make_new_app(), make_token()).post("/payments", json=payment()).status_code == 503
    assert "it has a second name (a hard link)" in caplog.text
