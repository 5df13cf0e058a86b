"""flask --app wsgi import ambrosia: an existing point of sale's records"""
import contextlib
import csv
import itertools
import os
import re
import signal
import subprocess
import sys
from datetime import datetime, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from payments_service.errors import Conflict
from payments_service.store import imports
from payments_service.store.history import Caller
from payments_service.store.imports import NewPayment

from ..support import ambrosia
from ..support.ambrosia import Ambrosia
from ..support.closings import CLOSINGS, NEXT, close
from ..support.engines import on_one_engine, on_sqlite
from ..support.history import history_of
from ..support.payments import CASH, EUR, payment
from ..support.project import PROJECT, environment
from ..support.rows import Rows
from ..support.tokens import SECRET
from ..support.waiting import wait_until

MXN = "01950000-0000-7000-8000-000000000103"
JPY, KWD = "01950000-0000-7000-8000-4217004a5059", "01950000-0000-7000-8000-4217004b5744"
FIRST, SECOND, THIRD, FOURTH = ("f47ac10b-58cc-4372-a567-0e02b2c3d4" + digits for digits in ("71", "72", "73", "74"))


@pytest.fixture
def run(app, tmp_path):
    """Import a database, and return the result with the rows of its list."""
    numbers = itertools.count(1)

    def run(file, *options):
        listed = tmp_path / f"list-{next(numbers)}.csv"
        command = ["import", "ambrosia", str(file), "--list", str(listed), *options]
        result = app.test_cli_runner().invoke(args=command)
        result.listed = list(csv.DictReader(listed.read_text().splitlines())) if listed.exists() else []
        return result

    return run


def sums(result):
    """Return the lines of the report's table, without the names of its columns."""
    lines = result.output.splitlines()
    start = next(place for place, line in enumerate(lines, 1) if line.startswith("currency"))
    table = itertools.takewhile(lambda line: not line.startswith("assumed"), lines[start:])
    return [re.split(r"\s{2,}", line) for line in table]


def counts(rows):
    """Return how many rows the tables have that an import fills."""
    tables = "payment", "history", "posting", "ticket_payment", "method", "currency"
    return [rows.all(f"SELECT count(*) FROM {table}")[0][0] for table in tables]


@pytest.mark.parametrize("version", [1, 28])
def test_payments_of_each_version_are_recorded(run, client, verify, tmp_path, version):
    source = Ambrosia(tmp_path / "ambrosia.db", version)
    binary, hexadecimal = UUID(SECOND).bytes, THIRD.replace("-", "").upper()
    bitcoin = {"satoshi_amount": 8100, "exchange_rate_at_payment": "1234567.891", "payment_hash": "5f" * 32}
    source.add(
        {"id": FIRST, "amount": "45.5", "transaction_id": "txn-1", "date": "2024-12-31 23:59:59"},
        {"id": binary, "amount": "0.30000000000000004", "method_id": ambrosia.CREDIT, "transaction_id": b"txn-2"},
        {"id": hexadecimal, "amount": 1500, "method_id": ambrosia.BITCOIN, "currency_id": ambrosia.JPY},
        {"id": "receipt 7", "amount": "1.25", "currency_id": ambrosia.KWD} | (bitcoin if version > 1 else {}),
    )
    source.link((FIRST, "table 4"), (FIRST, "table 4"), (FIRST, "table 5"), (binary, "table 4"), ("receipt 7", "t-7"))
    result = run(source.path)
    assert result.exit_code == 0, result.output
    assert client.get(f"/payments/{FIRST}").json == {
        "id": FIRST, "method_id": CASH, "currency_id": MXN, "transaction_id": "txn-1", "amount": Decimal("45.50"),
    }
    assert client.get(f"/payments/{SECOND}").json["amount"] == Decimal("0.30")
    third = client.get(f"/payments/{THIRD}").json
    assert (third["method_id"], third["currency_id"]) == (ambrosia.BITCOIN, JPY)
    assert (third["transaction_id"], third["amount"]) == (THIRD, 1500)
    (mapped,) = (row["id"] for row in result.listed if row["source_id"] == "receipt 7" and row["what"] == "mapped")
    assert client.get(f"/payments/{mapped}").json["currency_id"] == KWD
    assert [method["name"] for method in client.get("/payments/methods").json][-1] == "BTC"
    tickets = client.get(f"/payments/ticket-payments/by-payment/{FIRST}").json
    assert [ticket["ticket_id"] for ticket in tickets] == ["table 4", "table 5"]
    (entry,) = history_of(client, FIRST)
    assert (entry["action"], entry["after"]["created_at"]) == ("imported", "2024-12-31T23:59:59+00:00")
    (entry,) = history_of(client, mapped)
    kept = bitcoin | {"exchange_rate_at_payment": Decimal("1234567.891")}
    assert entry["after"]["source"] == {"id": "receipt 7"} | (kept if version > 1 else {})
    listed = client.get("/payments?created_from=2024-12-31T00:00:00Z&created_to=2025-01-01T00:00:00Z").json
    assert [found["id"] for found in listed] == [FIRST]
    verify()


ODD = [
    ({"amount": "10.005"}, "its amount 10.005 is not exact: MXN has 2 decimals"),
    ({"amount": "10.00000002"}, "is not exact"),
    ({"amount": "15.5", "currency_id": ambrosia.JPY}, "is not exact: JPY has 0 decimals"),
    ({"amount": -3}, "the amount is negative"),
    ({"amount": "three"}, "its amount 'three' is no number"),
    ({"amount": "1e400"}, "is no number"),
    ({"amount": "1e18"}, "the amount is larger than 92233720368547758.07"),
    ({"amount": 1, "method_id": "gone"}, "its method is not in the table payment_methods"),
    ({"amount": 1, "currency_id": "gone"}, "its currency is not in the table currency"),
    ({"amount": 1, "currency_id": "kid"}, "there is no currency 'KID' here. ISO 4217 has no currency KID"),
    ({"amount": 1, "date": "yesterday"}, "its date 'yesterday' is no time"),
    ({"amount": 1, "date": "2099-01-01 00:00:00"}, "its time is in the future"),
    ({"amount": 1, "id": None}, "it has no id"),
    ({"amount": -1, "id": b"\xff\xfe"}, "the amount is negative"),
    ({"amount": 1, "id": FIRST.upper()}, "an earlier row has the same id"),
]


def test_odd_rows_are_left_out_and_listed_with_the_reason(run, client, verify, rows, tmp_path):
    source = Ambrosia(tmp_path / "ambrosia.db")
    with source.connect() as connection:
        others = [(f"{number:032x}", f"X{number:03}") for number in range(10, 165)]
        connection.executemany("INSERT INTO currency (id, acronym) VALUES (?, ?)", [("kid", "KID"), *others])
    source.add({"id": FIRST, "amount": "0.01", "transaction_id": "same"})
    source.add(*({"id": f"odd-{number}"} | row for number, (row, _) in enumerate(ODD)))
    source.add(
        {"id": SECOND, "amount": "0.02", "transaction_id": "same"},
        {"id": THIRD, "amount": "0.0300000000001", "transaction_id": " padded"},
        {"id": FOURTH, "amount": 4, "transaction_id": "x" * 2001},
    )
    with source.connect() as connection:
        connection.execute("UPDATE payments SET id = CAST(id AS TEXT)")
    source.link((FIRST, "t-1"), ("odd-3", "t-2"), ("nothing", "t-3"), (SECOND, " "), (THIRD, "y" * 256))
    result = run(source.path)
    assert result.exit_code == 1
    refused = [row for row in result.listed if row["what"] == "refused"]
    for number, (_, reason) in enumerate(ODD):
        (found,) = (row for row in refused if row["row"] == str(number + 2))
        assert reason in found["why"]
        assert found["why"] in result.output
    assert len(refused) == len(ODD) + 4
    recorded = rows.all("SELECT minor_units FROM payment ORDER BY minor_units")
    assert [minor_units for (minor_units,) in recorded] == [1, 2, 3, 400]
    assert client.get(f"/payments/{SECOND}").json["transaction_id"] == SECOND
    assert history_of(client, SECOND)[0]["after"]["source"] == {"transaction_id": "same"}
    assert history_of(client, THIRD)[0]["after"]["source"] == {"transaction_id": " padded"}
    assert [currency["acronym"] for currency in client.get("/payments/currencies").json] == ["EUR", "USD", "MXN", "BTC"]
    verify()


def test_the_report_has_the_sums_of_both_sides(run, client, tmp_path):
    source = Ambrosia(tmp_path / "ambrosia.db")
    source.add({"id": FIRST, "amount": "10.1"}, {"id": SECOND, "amount": "0.2"}, {"id": THIRD, "amount": "1.005"})
    source.add({"id": FOURTH, "amount": 1500, "currency_id": ambrosia.JPY, "method_id": ambrosia.DEBIT})
    jpy = ["JPY", "Debit Card", "1", "1500", "1", "1500", "0", "0", "0", "0"]
    mxn = ["MXN", "Cash", "3", "11.305", "2", "10.300", "0", "0.000", "1", "1.005"]
    dry = run(source.path, "--dry-run")
    assert (dry.exit_code, sums(dry)) == (1, [jpy, mxn])
    assert client.get("/payments").status_code == 204
    assert sums(run(source.path)) == [jpy, mxn]
    again = [[*line[:4], "0", line[7], *line[4:6], *line[8:]] for line in (jpy, mxn)]
    assert sums(run(source.path)) == again


def test_a_second_import_adds_nothing(run, app, client, rows, verify, tmp_path):
    source = Ambrosia(tmp_path / "ambrosia.db")
    source.add(*({"id": found, "amount": 1, "currency_id": ambrosia.JPY} for found in (FIRST, SECOND, "third")))
    source.link((FIRST, "t-1"), ("third", "t-1"))
    assert run(source.path).exit_code == 0
    before = counts(rows)
    app.test_cli_runner().invoke(args=["currencies", "rename", "JPY", "YEN"])
    assert run(source.path).exit_code == 0
    assert counts(rows) == before
    # What was changed or deleted here stays so, and is listed.
    changed = payment(currency_id=JPY, amount=2, transaction_id="")
    assert client.put(f"/payments/{FIRST}", json=changed).status_code == 200
    assert client.delete(f"/payments/{SECOND}").status_code == 204
    source.add({"id": FOURTH, "amount": 1, "transaction_id": FIRST})
    result = run(source.path)
    assert result.exit_code == 1
    assert [row["why"] for row in result.listed if row["what"] == "refused"] == [
        "a payment with this id is there, with another amount", "it was deleted here",
    ] or [row["why"] for row in result.listed if row["what"] == "refused"] == [
        "it was deleted here", "a payment with this id is there, with another amount",
    ]
    assert client.get(f"/payments/{FIRST}").json["amount"] == 2
    assert client.get(f"/payments/{FOURTH}").json["transaction_id"] == FOURTH
    verify()


def test_what_is_imported_is_in_no_takings(run, client, rows, verify, tmp_path):
    source = Ambrosia(tmp_path / "ambrosia.db")
    source.add({"id": FIRST, "amount": 5}, {"id": SECOND, "amount": 7})
    run(source.path)
    columns = "history_id, kind, closing, minor_units, tip_units, user_id"
    assert rows.all(f"SELECT {columns} FROM posting") == [(None, "carried", 0, 1200, 0, None)]
    assert client.get("/payments/takings").status_code == 204
    assert client.get(NEXT).json["lines"] == []
    assert client.get(f"{NEXT}/postings").status_code == 204
    # From now on it is a payment like others.
    client.put(f"/payments/{FIRST}", json=payment(currency_id=MXN, amount=4, transaction_id=""))
    refund = {"amount": Decimal("3.00")}
    assert client.post(f"/payments/{SECOND}/refunds", json=refund).status_code == 201
    body = {"payment_id": SECOND, "ticket_id": "t-1"}
    assert client.post("/payments/ticket-payments", json=body).status_code == 201
    (line,) = client.get(NEXT).json["lines"]
    assert (line["payments"], line["corrections"], line["refunds"]) == (0, -1, 3)
    assert client.post("/payments", json=payment(transaction_id="new")).json["id"] > max(FIRST, SECOND)
    verify()


def test_an_import_changes_no_archive_that_is_sealed(run, app, client, rows, verify, tmp_path):
    client.post("/payments", json=payment())
    assert close(client, (CASH, EUR, "45.50", "0.00")) == 1
    sealed = client.get(f"{CLOSINGS}/1/archive").data
    source = Ambrosia(tmp_path / "ambrosia.db")
    source.add({"id": FIRST, "amount": 5}, {"id": SECOND, "amount": 7})
    run(source.path)
    client.post("/payments", json=payment(transaction_id="txn-2"))
    assert client.get(f"{CLOSINGS}/1/archive").data == sealed
    assert rows.all("SELECT closing, minor_units FROM posting WHERE kind = 'carried'") == [(2, 1200)]
    (line,) = client.get(NEXT).json["lines"]
    assert (line["currency_id"], line["payments"]) == (EUR, Decimal("45.50"))
    verify()
    assert close(client) == 2
    verify()
    archives = []
    for number in (1, 2):
        archives.append(tmp_path / f"closing-{number}.jsonl")
        archives[-1].write_bytes(client.get(f"{CLOSINGS}/{number}/archive").data)
    result = app.test_cli_runner().invoke(args=["verify", *map(str, archives)])
    assert result.exit_code == 0, result.output
    assert FIRST in archives[1].read_text()
    doctor = app.test_cli_runner().invoke(args=["doctor"])
    assert "closings: 1 to 2 are as they were sealed" in doctor.output


@pytest.mark.parametrize(
    "altered",
    [
        "UPDATE payment SET created_at = '2024-01-01 00:00:00.000000+00:00'",
        "UPDATE payment SET minor_units = minor_units + 1",
        "UPDATE ticket_payment SET linked_at = '2024-01-01 00:00:00.000000+00:00'",
        "UPDATE ticket_payment SET ticket_id = 't-2'",
        "DELETE FROM ticket_payment",
    ],
)
def test_altered_rows_of_an_import_are_found(run, app, rows, tmp_path, altered):
    source = Ambrosia(tmp_path / "ambrosia.db")
    source.add({"id": FIRST, "amount": 5})
    source.link((FIRST, "t-1"))
    run(source.path)
    rows.execute(altered)
    result = app.test_cli_runner().invoke(args=["verify"])
    assert result.exit_code == 1
    assert f"payment {FIRST.replace('-', '')}" in result.output


def test_an_import_and_another_write_do_not_both_record_it(app, client, rows):
    client.post("/payments", json=payment())
    for found_id, transaction_id in ((FIRST, "txn-1"), (client.get("/payments").json[0]["id"], "txn-2")):
        amounts = 500, 0, datetime(2025, 1, 1, tzinfo=timezone.utc)
        new = NewPayment(UUID(found_id), UUID(CASH), UUID(EUR), 2, transaction_id, *amounts, None, None, [], [])
        before = counts(rows)
        with app.app_context(), pytest.raises(Conflict, match="Something was recorded meanwhile"):
            imports.add([], [], lambda: [[new]], Caller(None, "import-1"))
        assert counts(rows) == before


@on_one_engine
def test_the_source_may_be_in_use(run, client, tmp_path):
    source = Ambrosia(tmp_path / "ambrosia.db")
    source.add({"id": FIRST, "amount": 5})
    before = source.path.read_bytes()
    with source.connect() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE payments SET amount = 6")
        assert run(source.path).exit_code == 0
        assert client.get(f"/payments/{FIRST}").json["amount"] == 5
        connection.rollback()
    assert source.path.read_bytes() == before


@on_one_engine
def test_another_file_is_rejected_in_one_line(run, rows, tmp_path):
    text, other, old = tmp_path / "text.db", tmp_path / "other.db", Ambrosia(tmp_path / "old.db")
    text.write_text("no database at all" * 100)
    with old.connect() as connection:
        connection.execute("ALTER TABLE payments DROP COLUMN date")
    for path, reason in [
        (text, "cannot be read: file is not a database"),
        (other, "there is no file"),
        (old.path, "is no database of Ambrosia: it lacks the column date in payments"),
    ]:
        result = run(path)
        assert result.exit_code == 1
        assert reason in result.output
        assert len(result.output.splitlines()) == 1
    assert not other.exists()


def flask(database_url, *arguments):
    """Start a command in a process of its own."""
    settings = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET)
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
    return subprocess.Popen(command, cwd=PROJECT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@on_sqlite
def test_the_service_is_stopped_before_an_import(server, database_url, tmp_path):
    source = Ambrosia(tmp_path / "ambrosia.db")
    source.add({"id": FIRST, "amount": 5})
    command = ["import", "ambrosia", str(source.path), "--list", str(tmp_path / "list.csv")]
    with flask(database_url, *command) as process:
        assert process.communicate()[0] == b"Error: the database is in use: stop the service first, or use --dry-run\n"
    assert process.returncode == 1
    with flask(database_url, *command, "--dry-run") as process:
        assert b"1 payments read" in process.communicate()[0]
    assert process.returncode == 0
    assert server.request("GET", "/payments")[0] == 204


def test_an_import_that_is_killed_records_nothing(database_url, tmp_path):
    source = Ambrosia(tmp_path / "ambrosia.db")
    with source.connect() as connection:
        connection.execute(
            "WITH RECURSIVE row (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM row WHERE id < 20000) "
            "INSERT INTO payments (id, method_id, currency_id, transaction_id, amount) "
            "SELECT printf('%032x', id), ?, ?, '', 1 FROM row",
            (ambrosia.CASH, ambrosia.MXN),
        )

    def is_recording():
        if database_url.startswith("sqlite:"):
            wal = database_url.removeprefix("sqlite:///") + "-wal"
            return os.path.exists(wal) and os.path.getsize(wal) > 2**20
        locks = "SELECT 1 FROM pg_locks WHERE relation = 'payment'::regclass AND mode = 'RowExclusiveLock'"
        with contextlib.closing(Rows(database_url).connection) as connection:
            own = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            return connection.execute(f"{locks} AND {own}").fetchall()

    def count():
        rows = Rows(database_url)
        with contextlib.closing(rows.connection):
            return counts(rows)[:4]

    command = ["import", "ambrosia", str(source.path), "--list"]
    with flask(database_url, *command, str(tmp_path / "list-1.csv")) as process:
        wait_until(is_recording)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert count() == [0, 0, 0, 0]
    for arguments in ([*command, str(tmp_path / "list-2.csv")], ["verify"]):
        with flask(database_url, *arguments) as process:
            output = process.communicate()[0]
        assert process.returncode == 0, output
    assert count() == [20000, 20000, 1, 0]
