"""SQLite's files: they stay the same while the service runs, and each has one path"""
from pathlib import Path

import pytest

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
