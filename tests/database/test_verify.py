"""flask --app wsgi verify: what was altered is found"""
import os
from decimal import Decimal

import pytest

from ..support.clients import client_of
from ..support.closings import CLOSINGS, MOVEMENTS, close
from ..support.migrating import migrate
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, ID, payment
from ..support.rows import load_first_release, stored
from ..support.tampering import SEALED, alter, sealed_rows, without_triggers
from ..support.tokens import make_token

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
            client.post("/payments/ticket-payments", json={"payment_id": ids[0], "ticket_id": ticket})
        client.delete(f"/payments/ticket-payments?paymentId={ids[0]}&ticketId=t-2")
        moved = payment(method_id=CREDIT_CARD, transaction_id="", amount=Decimal("46.00"))
        assert client.put(f"/payments/{ids[0]}", json=moved).status_code == 200
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


def test_what_nobody_altered_is_verified(verify, closed):
    newest = closed.get(f"{CLOSINGS}/2").json["hash"]
    assert verify() == (0, f"Nothing was altered. Closing 2: {newest}\n", [])


def test_a_new_database_is_verified(verify, client):
    assert verify() == (0, "Nothing is closed yet.\n", [])


def is_found(verify, table):
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
                if not is_found(verify, table):
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
            if not is_found(verify, table):
                missed.append(row.row)
            row.put_back()
    assert missed == []
    assert verify()[0] == 0
