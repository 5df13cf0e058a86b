"""Invoices of a real LNbits: a guest pays them, and the service records it whatever ends in between"""
import signal
import subprocess
import sys
from decimal import Decimal

import pytest

from payments_service.lightning.bolt11 import read_invoice

from ..support.engines import on_one_engine
from ..support.payments import BITCOIN_LIGHTNING, BTC, EUR
from ..support.project import PROJECT, environment
from ..support.tokens import SECRET
from ..support.waiting import wait_until

pytestmark = pytest.mark.alone

WANTED = {"ticket_id": "t-1", "currency_id": BTC, "amount": Decimal("0.00002100"), "memo": "Table 7"}


def wait_until_paid(service, path):
    """Wait until an invoice is paid, and return it."""
    return wait_until(lambda: (invoice := service.request("GET", path)[1])["state"] == "paid" and invoice)


def payments_of(service, ticket_id):
    """Return the payments of a ticket."""
    return service.request("GET", f"/payments/ticket-payments/by-ticket/{ticket_id}")[1] or []


def test_a_paid_invoice_is_recorded_with_its_ticket(start_service, lnbits, invoice_path):
    service = start_service()
    balance = lnbits.balance_sat()
    status, invoice = service.request("PUT", invoice_path, WANTED)
    assert (status, invoice["state"], invoice["amount_sat"]) == (201, "open", 2100)
    assert read_invoice(invoice["bolt11"])[:2] == (2_100_000, invoice["payment_hash"])

    lnbits.pay(invoice["bolt11"])
    paid = wait_until_paid(service, invoice_path)
    assert (paid["received_sat"], lnbits.balance_sat() - balance) == (2100, 2100)
    (payment,) = payments_of(service, "t-1")
    assert payment["payment_id"] == paid["payment_id"]
    assert payment["transaction_id"] == invoice["payment_hash"]
    assert (payment["method_id"], payment["currency_id"]) == (BITCOIN_LIGHTNING, BTC)
    assert payment["amount"] == Decimal("0.00002100")


@on_one_engine
def test_an_amount_in_euros_is_converted_by_the_rate(start_service, lnbits, prices, invoice_path):
    prices["EUR"] = "96123.45"
    service = start_service()
    wanted = WANTED | {"currency_id": EUR, "amount": Decimal("30.50")}
    invoice = service.request("PUT", invoice_path, wanted)[1]
    # 30.50 / 96123.45 * 10^8
    assert (invoice["amount_sat"], invoice["amount"]) == (31730, Decimal("30.50"))
    assert read_invoice(invoice["bolt11"]).amount_msat == 31_730_000
    assert round(invoice["rate"], 6) == Decimal("1040.328869")

    lnbits.pay(invoice["bolt11"])
    wait_until_paid(service, invoice_path)
    (payment,) = payments_of(service, "t-1")
    assert (payment["currency_id"], payment["amount"]) == (EUR, Decimal("30.50"))


@on_one_engine
def test_there_is_no_invoice_without_a_rate(start_service, lnbits, prices, invoice_path):
    prices.clear()
    service = start_service()
    wanted = WANTED | {"currency_id": EUR, "amount": Decimal("30.50")}
    assert service.request("PUT", invoice_path, wanted)[0] == 503
    assert not lnbits.list_invoices(invoice_path.rpartition("/")[2])
    prices["EUR"] = "100000"
    status, invoice = service.request("PUT", invoice_path, wanted)
    assert (status, invoice["amount_sat"]) == (201, 30_500)


@on_one_engine
def test_an_invoice_sent_six_times_is_one_at_lnbits(start_service, lnbits, invoice_path):
    service = start_service()
    invoices = [service.request("PUT", invoice_path, WANTED)[1]["bolt11"] for _ in range(6)]
    (made,) = lnbits.list_invoices(invoice_path.rpartition("/")[2])
    assert invoices == [made["bolt11"]] * 6


def test_a_payment_while_the_service_is_killed_is_recorded(start_service, lnbits, invoice_path):
    service = start_service()
    invoice = service.request("PUT", invoice_path, WANTED)[1]
    service.stop(signal.SIGKILL)
    lnbits.pay(invoice["bolt11"])
    service = start_service()
    wait_until_paid(service, invoice_path)
    assert [payment["transaction_id"] for payment in payments_of(service, "t-1")] == [invoice["payment_hash"]]


@on_one_engine
def test_a_payment_before_lnbits_is_killed_is_recorded(start_service, lnbits, invoice_path):
    service = start_service()
    invoice = service.request("PUT", invoice_path, WANTED)[1]
    service.stop(signal.SIGKILL)
    lnbits.pay(invoice["bolt11"])
    lnbits.stop()
    service = start_service()
    try:
        assert service.request("GET", invoice_path)[1]["state"] == "open"
        other_path = invoice_path[:-4] + "ffff"
        assert service.request("PUT", other_path, WANTED)[0] == 503
    finally:
        lnbits.start()
    wait_until_paid(service, invoice_path)
    assert service.request("PUT", other_path, WANTED)[0] == 201
    assert len(payments_of(service, "t-1")) == 1


@on_one_engine
def test_a_withdrawn_invoice_that_is_paid_is_recorded(start_service, lnbits, invoice_path):
    service = start_service()
    invoice = service.request("PUT", invoice_path, WANTED)[1]
    assert service.request("DELETE", invoice_path)[0] == 204
    assert service.request("GET", invoice_path)[1]["state"] == "expired"
    lnbits.pay(invoice["bolt11"])
    wait_until_paid(service, invoice_path)
    assert len(payments_of(service, "t-1")) == 1


@on_one_engine
@pytest.mark.parametrize(
    "key, expected",
    [("key", "can only receive"), ("full_key", "lets the key send money"), (None, "cannot be used")],
    ids=["invoice key", "admin key", "wrong key"],
)
def test_the_doctor_says_whether_the_key_can_pay(database_url, lnbits, key, expected):
    value = getattr(lnbits.restaurant, key) if key else "0" * 32
    settings = {"LIGHTNING": "lnbits", "LIGHTNING_URL": lnbits.url, "LIGHTNING_KEY": value}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
    variables = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET, **settings)
    result = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True)
    (line,) = [line for line in result.stdout.splitlines() if "ightning" in line]
    assert expected in line
    assert value not in result.stdout + result.stderr
