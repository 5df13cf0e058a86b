"""Two tills that refund one payment, share it, or pay one ticket at once"""
from decimal import Decimal

import pytest

from ..support.payments import EUR, payment
from ..support.server import Server
from ..support.tickets import LINKS, share
from .test_races import race

ROUNDS = 30


@pytest.fixture(scope="module")
def servers(start_shared_server) -> list[Server]:
    """Start two servers on one database. Tests use only the payments that they record on it."""
    return [start_shared_server(), start_shared_server()]


@pytest.fixture
def pay(servers):
    """Record a payment and return its id."""

    def post(amount, **fields):
        body = payment(transaction_id="", amount=Decimal(amount), **fields)
        status, added = servers[0].request("POST", "/payments", body)
        assert status == 201
        return added["id"]

    return post


def remaining(servers, ticket_id):
    path = f"{LINKS}/balance/{ticket_id}?currency_id={EUR}&total=120.00"
    return str(servers[0].request("GET", path)[1][0]["remaining"])


def test_of_two_refunds_at_once_one_is_too_much(servers, pay):
    for _ in range(ROUNDS):
        path = f"/payments/{pay('45.50')}/refunds"
        assert sorted(race(servers, *[("POST", path, {"amount": 30}, {})] * 2)) == [201, 409]
        assert len(servers[0].request("GET", path)[1]) == 1


def test_of_two_tills_for_the_last_of_a_ticket_one_gets_it(servers, pay):
    for number in range(ROUNDS):
        ticket_id = f"last-{number}"
        body = share(pay("165.00"), ticket_id, "100.00")
        assert servers[0].request("POST", LINKS, body)[0] == 201
        bodies = [share(pay("20.00"), ticket_id, amount, "120.00") for amount in ("20.00", None)]
        assert sorted(race(servers, *(("POST", LINKS, body, {}) for body in bodies))) == [201, 409]
        assert remaining(servers, ticket_id) == "0.00"


def test_of_two_new_payments_for_one_ticket_one_is_recorded(servers):
    for number in range(ROUNDS):
        # In another order at each till: neither waits for the other for ever.
        tickets = [{"ticket_id": f"{name}-{number}", "amount": 60, "ticket_total": 100} for name in ("one", "two")]
        bodies = [payment(transaction_id="", amount=120, tickets=listed) for listed in (tickets, tickets[::-1])]
        assert sorted(race(servers, *(("POST", "/payments", body, {}) for body in bodies))) == [201, 409]
        for name in ("one", "two"):
            assert remaining(servers, f"{name}-{number}") == "60.00"
            assert len(servers[0].request("GET", f"{LINKS}/by-ticket/{name}-{number}")[1]) == 1


def test_of_two_shares_of_one_payment_one_is_too_much(servers, pay):
    for number in range(ROUNDS):
        bodies = [share(payment_id, f"t-{number}-{name}", "60.00") for payment_id in [pay("100.00")] for name in "ab"]
        assert sorted(race(servers, *(("POST", LINKS, body, {}) for body in bodies))) == [201, 409]


def test_a_refund_and_a_change_at_once_never_both_win(servers, pay):
    for _ in range(ROUNDS):
        path = f"/payments/{pay('45.50')}"
        refunded, changed = race(
            servers,
            ("POST", f"{path}/refunds", {"amount": 30}, {}),
            ("PUT", path, payment(transaction_id="", amount=20), {}),
        )
        assert (refunded, changed) in [(201, 409), (409, 200)]


def test_a_refund_and_a_deletion_at_once_never_both_win(servers, pay):
    for _ in range(ROUNDS):
        path = f"/payments/{pay('45.50')}"
        refunded, deleted = race(
            servers, ("POST", f"{path}/refunds", {"amount": 30}, {}), ("DELETE", path, None, {})
        )
        assert (refunded, deleted) in [(201, 409), (404, 204)]
