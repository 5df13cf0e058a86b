"""flask --app wsgi verify: what was altered is found"""
import os
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from payments_service.store import verifying

from ..support.closings import CLOSINGS, MOVEMENTS, close
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, ID, payment
from ..support.rows import load_first_release, stored
from ..support.tampering import SEALED, alter, sealed_rows, without_triggers

# Of each table. All of them take minutes.
ROWS = int(os.environ.get("PAYMENTS_TEST_ROWS", 1))


def close_two_days(client):
    """Do everything that there is to do, and close twice. The last payment of each kind is left open."""
    for number in (1, 2):
        ids = []
        for method, currency, amount in [
            (CASH, EUR, "45.50"),
            (CASH, EUR, "0.00"),
            (CREDIT_CARD, EUR, "78.90"),
            (BITCOIN_LIGHTNING, BTC, "0.00012345"),
            (CASH, EUR, "10.00"),
        ]:
            body = payment(method_id=method, currency_id=currency, transaction_id="", amount=Decimal(amount))
            ids.append(client.post("/payments", json=body).json["id"])
        for ticket in ("t-1", "t-2", "t-3"):
            body = {"payment_id": ids[0], "ticket_id": ticket, "amount": Decimal("5.00")}
            assert client.post("/payments/ticket-payments", json=body).status_code == 201
        client.delete(f"/payments/ticket-payments?paymentId={ids[0]}&ticketId=t-2")
        moved = payment(method_id=CREDIT_CARD, transaction_id="", amount=Decimal("46.00"), tip=Decimal("0.50"))
        assert client.put(f"/payments/{ids[0]}", json=moved).status_code == 200
        refunds = f"/payments/{ids[0]}/refunds"
        for amount in ("7.00", "3.00"):
            body = {"amount": Decimal(amount), "reason": "soup", "method_id": CASH, "transaction_id": "txn-7"}
            response = client.post(refunds, json=body | {"ticket_id": "t-3"})
            assert response.status_code == 201
        assert client.delete(f"{refunds}/{response.json['id']}").status_code == 204
        assert client.delete(f"/payments/{ids[4]}").status_code == 204
        for kind in ("paid_in", "paid_out"):
            body = {"kind": kind, "method_id": CASH, "currency_id": EUR, "amount": Decimal("5.00"), "reason": "rolls"}
            assert client.post(MOVEMENTS, json=body).status_code == 201
        assert close(client, (CASH, EUR, "40.00", "30.00")) == number
    client.post("/payments", json=payment(transaction_id="", amount=Decimal("3.00")))


@pytest.fixture
def closed(client):
    """Close two days."""
    close_two_days(client)
    return client


@pytest.fixture
def verify(app):
    """Run the command. Return its exit code, what it prints, and what is wrong."""

    def run(*args):
        result = app.test_cli_runner().invoke(args=["verify", *map(str, args)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, [line for line in result.stderr.splitlines() if line]

    return run


@pytest.fixture
def first_release(database_url, request):
    """Bring a database of the first release up to date. Return a client, and what runs the command."""
    load_first_release(database_url)
    return request.getfixturevalue("client"), request.getfixturevalue("verify")


def test_what_nobody_altered_is_verified(verify, closed):
    newest = closed.get(f"{CLOSINGS}/2").json["hash"]
    assert verify() == (0, f"Nothing was altered. Closing 2: {newest}\n", [])


def test_a_new_database_is_verified(verify, client):
    assert verify() == (0, "Nothing is closed yet.\n", [])


def is_found(verify):
    """Tell whether verify finds a fault that is not about triggers, which are off."""
    code, _, faults = verify()
    return code == 1 and any("trigger" not in fault for fault in faults)


@pytest.mark.parametrize("table", SEALED)
def test_each_cell_that_is_altered_is_found(verify, closed, rows, table):
    missed = []
    with without_triggers(rows):
        for row in sealed_rows(rows, table)[:ROWS]:
            for column, old in zip(row.columns, row.row):
                new = alter(old, column)
                row.set(column, new)
                if not is_found(verify):
                    missed.append((column, old, new))
                row.set(column, old)
    assert missed == []
    assert verify()[0] == 0


@pytest.mark.parametrize("table", SEALED)
def test_each_row_that_is_deleted_is_found(verify, closed, rows, table):
    missed = []
    with without_triggers(rows):
        for row in sealed_rows(rows, table)[:ROWS]:
            row.delete()
            if not is_found(verify):
                missed.append(row.row)
            row.put_back()
    assert missed == []
    assert verify()[0] == 0


@pytest.mark.parametrize(("column", "table"), [("cash", "method"), ("decimals", "currency")])
def test_what_a_command_cannot_change_is_compared(verify, closed, rows, column, table):
    rows.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", *{
        "cash": (False if not rows.is_sqlite else 0, stored(CASH)), "decimals": (3, stored(EUR)),
    }[column])
    assert is_found(verify)


def test_a_renamed_method_is_no_fault(verify, closed, app):
    for command in (["methods", "rename", "Cash", "Efectivo"], ["currencies", "rename", "EUR", "EURO"]):
        assert app.test_cli_runner().invoke(args=command).exit_code == 0
    assert verify()[0] == 0


def test_the_first_wrong_row_is_named(verify, closed, rows):
    with without_triggers(rows):
        row = sealed_rows(rows, "payment")[0]
        row.set("minor_units", 1)
    code, _, faults = verify()
    assert code == 1
    payment_id = str(row.row[0]).replace("-", "")
    assert faults[0] == f"wrong: payment {payment_id}: minor_units is 1, and its history says 4600"


def test_a_missing_trigger_is_a_fault(verify, closed, rows):
    rows.execute("DROP TRIGGER history_is_not_changed" + ("" if rows.is_sqlite else " ON history"))
    assert verify() == (1, "", [
        "wrong: the trigger history_is_not_changed is missing or was changed, so that rows can be altered"
    ])


def test_a_forged_payment_is_found(verify, closed, rows):
    columns = {"id": stored(ID), "method_id": stored(CASH), "currency_id": stored(EUR), "transaction_id": "forged"}
    moment = "2026-11-20 12:00:00.000000+00:00"
    rows.insert("payment", columns | {"minor_units": 1, "version": 1, "created_at": moment, "changed_at": moment})
    code, _, faults = verify()
    assert code == 1
    assert "add up to" in faults[0]


@pytest.mark.empty_database
def test_payments_of_the_first_release_are_verified(first_release, rows):
    client, verify = first_release
    old = client.get("/payments").json[0]
    assert verify()[0] == 0
    body = {name: old[name] for name in ("method_id", "currency_id", "transaction_id")} | {"amount": Decimal(1)}
    assert client.put(f"/payments/{old['id']}", json=body).status_code == 200
    close_two_days(client)
    assert verify()[0] == 0
    rows.execute("UPDATE payment SET minor_units = minor_units + 1 WHERE id = ?", stored(old["id"]))
    assert is_found(verify)


def test_verify_sees_one_moment_while_the_service_goes_on(closed, app, add_payment):
    with app.app_context():
        faults = verifying.find_faults(lambda *_: add_in_another_thread(closed))
        assert list(faults) == []
    assert len(closed.get("/payments").json) > 9


def add_in_another_thread(client):
    """Record a payment on another connection."""
    with ThreadPoolExecutor(1) as thread:
        body = payment(transaction_id="", amount=Decimal("1.00"))
        assert thread.submit(client.post, "/payments", json=body).result().status_code == 201
