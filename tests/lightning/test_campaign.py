"""Many invoices of a real LNbits are paid while two copies of the service on one PostgreSQL are killed at random"""
import contextlib
import http.client
import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import UUID

import pytest

from ..support.engines import on_postgresql
from ..support.payments import BITCOIN_LIGHTNING, BTC, EUR
from ..support.project import PROJECT, environment
from ..support.tokens import SECRET
from ..support.waiting import wait_until

pytestmark = pytest.mark.alone

INVOICES = int(os.environ.get("INVOICES") or 50)
SEED = int(os.environ.get("SEED") or 1)
TILLS = 6
# From one kill to the next, in tenths of a second: some fall into a start.
MIN_PAUSE, MAX_PAUSE = 1, 15
FAULTS_OF_A_KILL = (OSError, http.client.HTTPException)


class Restaurant:
    """Two copies of the service, of which one or the other is killed at random and started again."""

    def __init__(self, start_service):
        self.start_service = start_service
        self.services = [start_service(), start_service()]
        self.kills = 0
        self.closed = threading.Event()

    def kill_at_random(self, chance):
        """Kill and start services until the restaurant closes."""
        while not self.closed.wait(chance.randint(MIN_PAUSE, MAX_PAUSE) / 10):
            victims = chance.choice([[0], [1], [0, 1]])
            for victim in victims:
                self.services[victim].stop(signal.SIGKILL)
                self.kills += 1
            for victim in victims:
                self.services[victim] = self.start_service()

    def request(self, chance, *request):
        """Send a request to one of the services, again until it is answered without a fault."""

        def answered():
            with contextlib.suppress(*FAULTS_OF_A_KILL):
                status, body = chance.choice(self.services).request(*request)
                return body if status in (200, 201) else None

        return wait_until(answered)


def wanted_for(ticket_id, chance):
    """Return what a till asks for: bitcoin, euros by the node's rate, or euros by the till's own rate."""
    satoshi = chance.randint(1, 20_000)
    euros = {"currency_id": EUR, "amount": Decimal(chance.randint(1, 2000)) / 100}
    return {"ticket_id": ticket_id} | chance.choice(
        [{"currency_id": BTC, "amount": Decimal(satoshi).scaleb(-8)}, euros, euros | {"amount_sat": satoshi}]
    )


def run_command(database_url, lnbits, *command):
    """Run a command of the service; fails if it does."""
    settings = {"LIGHTNING": "lnbits", "LIGHTNING_URL": lnbits.url, "LIGHTNING_KEY": lnbits.restaurant.key}
    variables = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET, **settings)
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *command]
    subprocess.run(command, cwd=PROJECT, env=variables, check=True, capture_output=True, timeout=120)


@on_postgresql
def test_each_paid_invoice_is_one_payment_whatever_is_killed(start_service, lnbits, prices, database_url, capsys):
    prices["EUR"] = "100000"
    restaurant = Restaurant(start_service)
    balance = lnbits.balance_sat()

    def serve_guest(number):
        chance = random.Random(f"{SEED}-{number}")
        invoice_id = str(UUID(int=chance.getrandbits(128), version=4))
        wanted = wanted_for(f"t-{number}", chance)
        invoice = restaurant.request(chance, "PUT", f"/payments/lightning/{invoice_id}", wanted)
        # Some guests walk out.
        is_paid = chance.randrange(10) > 0
        if is_paid:
            lnbits.pay(invoice["bolt11"])
        return invoice | {"is_paid": is_paid}

    with ThreadPoolExecutor(TILLS) as tills, ThreadPoolExecutor(1) as killer:
        killing = killer.submit(restaurant.kill_at_random, random.Random(SEED))
        try:
            invoices = list(tills.map(serve_guest, range(INVOICES)))
        finally:
            restaurant.closed.set()
        killing.result()

    paid = [invoice for invoice in invoices if invoice["is_paid"]]
    service = restaurant.services[0]
    wait_until(lambda: len(service.request("GET", "/payments/lightning?state=paid&limit=1000")[1] or []) >= len(paid))
    # Another look at everything records nothing more.
    run_command(database_url, lnbits, "settle")
    run_command(database_url, lnbits, "verify")
    payments = service.request("GET", "/payments?limit=1000")[1]
    assert sorted(payment["transaction_id"] for payment in payments) == sorted(bill["payment_hash"] for bill in paid)
    for invoice in invoices:
        linked = service.request("GET", f"/payments/ticket-payments/by-ticket/{invoice['ticket_id']}")[1] or []
        found = [(link["transaction_id"], link["method_id"], link["currency_id"], link["amount"]) for link in linked]
        expected = (invoice["payment_hash"], BITCOIN_LIGHTNING, invoice["currency_id"], invoice["amount"])
        assert found == [expected] * invoice["is_paid"]
    assert lnbits.balance_sat() - balance == sum(invoice["amount_sat"] for invoice in paid)
    with capsys.disabled():
        print(f"\n{INVOICES} invoices, {len(paid)} paid, {restaurant.kills} kills, seed {SEED}")
