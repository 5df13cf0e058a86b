"""Copying a SQLite database to PostgreSQL"""
import os

import pytest

from payments_service import create_app, database
from payments_service.store import archives
from payments_service.transfer import copying

from ..support.clients import client_of
from ..support.closings import close
from ..support.engines import on_sqlite
from ..support.payments import BTC, CASH, EUR, payment
from ..support.tokens import SECRET, make_token

pytestmark = on_sqlite


@pytest.fixture
def target_url(postgresql_databases):
    """Create an empty PostgreSQL database."""
    url = postgresql_databases.create()
    yield url
    postgresql_databases.drop(url)


@pytest.fixture
def target_app(target_url):
    """Make an application on the PostgreSQL database."""
    app = create_app({"DATABASE_URL": target_url, "JWT_SECRET": SECRET})
    yield app
    database.close(app)


@pytest.fixture
def run(app):
    """Run a command on the SQLite database."""
    return lambda *args: app.test_cli_runner().invoke(args=args)


@pytest.fixture
def records(client, add_payment, link):
    """Record payments of all kinds, and return the id of one that was changed and linked."""
    changed = add_payment(amount=1, transaction_id="tab\tand \\ and 'quotes' and é and \n line")
    client.put(f"/payments/{changed}", json=payment(amount=2, transaction_id=""))
    link(changed, "table 4, seat \\1")
    link(add_payment(currency_id=BTC, amount=0), "ticket-2")
    client.delete(f"/payments/{add_payment()}")
    client.post("/payments", json=payment(transaction_id="txn-9"), headers={"Idempotency-Key": "key-1"})
    movement = {"kind": "paid_in", "method_id": CASH, "currency_id": EUR, "amount": 50, "reason": "float"}
    client.post("/payments/cash-movements", json=movement)
    close(client, (CASH, EUR, "45.50", "5.00"))
    client.put(f"/payments/{changed}", json=payment(amount=3, transaction_id=""))
    return changed


PATHS = [
    "/payments", "/payments/methods", "/payments/currencies", "/payments/ticket-payments/by-ticket/ticket-2",
    "/payments/closings", "/payments/closings/next", "/payments/closings/1/postings",
    "/payments/closings/next/postings", "/payments/cash-movements", "/payments/takings",
]


def test_the_copy_answers_as_the_original(run, client, records, target_url, target_app):
    result = run("copy-to", target_url)
    assert result.exit_code == 0, result.output
    copy = client_of(target_app, make_token())
    for path in [*PATHS, f"/payments/{records}", f"/payments/{records}/history"]:
        original = client.get(path)
        assert original.status_code == 200
        assert copy.get(path).data == original.data
    assert copy.get(f"/payments/{records}").headers["ETag"] == '"3"'


def test_the_copy_has_the_same_archives_and_closes_next(run, app, client, records, target_url, target_app):
    run("copy-to", target_url)
    with app.app_context():
        original = list(archives.write_lines(1))
    with target_app.app_context():
        assert list(archives.write_lines(1)) == original
    assert close(client_of(target_app, make_token())) == 2


def test_the_copy_knows_idempotency_keys(run, client, records, target_url, target_app):
    run("copy-to", target_url)
    body, headers = payment(transaction_id="txn-9"), {"Idempotency-Key": "key-1"}
    response = client_of(target_app, make_token()).post("/payments", json=body, headers=headers)
    assert (response.status_code, response.headers["Idempotency-Replayed"]) == (201, "true")


def test_the_copy_takes_further_payments(run, records, target_url, target_app):
    run("copy-to", target_url)
    copy = client_of(target_app, make_token())
    for _ in range(2):
        made = copy.post("/payments", json=payment(transaction_id=""))
        assert made.status_code == 201
        assert len(copy.get(f"/payments/{made.json['id']}/history").json) == 1


def test_added_methods_and_currencies_are_copied(run, client, target_url, target_app):
    run("methods", "add", "Meal voucher")
    run("currencies", "add", "JPY", "--decimals", "0")
    run("copy-to", target_url)
    copy = client_of(target_app, make_token())
    assert copy.get("/payments/methods").json[-1]["name"] == "Meal voucher"
    assert copy.get("/payments/currencies").json == client.get("/payments/currencies").json


def test_a_database_that_holds_records_is_rejected(run, records, target_url, target_app):
    assert run("copy-to", target_url).exit_code == 0
    result = run("copy-to", target_url)
    assert result.exit_code == 1
    assert "holds records" in result.output


def test_a_database_in_use_is_not_copied(start_server, database_url, target_url, make_new_app):
    start_server()
    result = make_new_app().test_cli_runner().invoke(args=["copy-to", target_url])
    assert result.exit_code == 1
    assert "stop the service first" in result.output


def test_a_hard_link_is_not_copied(make_new_app, database_url, target_url):
    file = database_url.removeprefix("sqlite:///")
    os.link(file, f"{file}.second")
    result = make_new_app().test_cli_runner().invoke(args=["copy-to", target_url])
    assert result.exit_code == 1
    assert "it has a second name (a hard link)" in result.output


@pytest.mark.empty_database
def test_a_database_that_is_not_up_to_date_is_not_copied(make_new_app, database_url, target_url):
    open(database_url.removeprefix("sqlite:///"), "w").close()
    result = make_new_app().test_cli_runner().invoke(args=["copy-to", target_url])
    assert result.exit_code == 1
    assert "run migrate" in result.output


def test_a_postgresql_database_is_not_copied(make_new_app, target_url):
    result = make_new_app(DATABASE_URL=target_url).test_cli_runner().invoke(args=["copy-to", target_url])
    assert result.exit_code == 1
    assert "no SQLite database" in result.output


@pytest.mark.parametrize("url", ["mysql://box/payments", "sqlite:////tmp/other.db"])
def test_only_postgresql_can_be_the_target(run, url):
    assert run("copy-to", url).exit_code != 0


def test_a_copy_that_differs_is_taken_back(run, records, target_url, monkeypatch, postgresql_databases):
    monkeypatch.setattr(copying, "_select_postgresql", lambda field: f"upper(\"{field.column_name}\"::text)")
    result = run("copy-to", target_url)
    assert result.exit_code == 1
    assert "nothing was copied" in result.output
    monkeypatch.undo()
    assert run("copy-to", target_url).exit_code == 0


def test_progress_is_reported_for_each_table(app, records, target_url, monkeypatch):
    monkeypatch.setattr(copying, "ROWS_PER_STEP", 1)
    steps = []
    with app.app_context():
        copying.copy_to(target_url, lambda step, done=0, total=0: steps.append((step, done, total)))
    assert ("Copying payment", 3, 3) in steps
    assert ("Comparing payment", 3, 3) in steps
