"""Concurrent closings, and payments while somebody closes"""
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from ..support.closings import CLOSINGS, NEXT
from ..support.payments import CASH, EUR, payment
from ..support.server import Server
from .test_races import race

PAYMENTS = 60


@pytest.fixture
def servers(start_server) -> list[Server]:
    """Start two servers on one database."""
    return [start_server(), start_server()]


def closings_of(server):
    """Return all closings of a server, or none."""
    status, closings = server.request("GET", CLOSINGS)
    return closings if status == 200 else []


def test_of_two_closings_with_one_number_one_is_made(servers):
    for number in range(1, 26):
        statuses = race(servers, *[("POST", CLOSINGS, {"number": number}, {})] * 2)
        assert sorted(statuses) == [201, 409]
    assert [closing["number"] for closing in closings_of(servers[0])] == list(range(1, 26))


def test_two_closings_without_a_number_are_both_made(servers):
    for number in range(25):
        servers[0].request("POST", "/payments", payment(transaction_id="", amount=1))
        assert race(servers, *[("POST", CLOSINGS, {"counts": []}, {})] * 2) == [201, 201]
    closings = closings_of(servers[0])
    assert [closing["number"] for closing in closings] == list(range(1, 51))
    assert sum(line["payments_count"] for closing in closings for line in closing["lines"]) == 25


def test_a_double_click_with_one_key_closes_once(servers):
    for number in range(25):
        requests = [("POST", CLOSINGS, {"counts": []}, {"Idempotency-Key": f"key-{number}"})] * 2
        assert race(servers, *requests) == [201, 201]
    assert len(closings_of(servers[0])) == 25


@pytest.fixture(scope="module")
def shared_servers(start_shared_server) -> list[Server]:
    """Start two servers on one database for the tests of one run."""
    return [start_shared_server(), start_shared_server()]


@pytest.fixture(scope="module")
def closings(shared_servers):
    """Let four tills pay, change and delete while two people close; return all closings."""

    def pay(till):
        for number in range(PAYMENTS):
            body = payment(transaction_id="", amount=Decimal(till * 100 + number))
            status, added = shared_servers[till % 2].request("POST", "/payments", body)
            assert status == 201
            if number % 5 == 0:
                changed = body | {"amount": 1}
                assert shared_servers[till % 2].request("PUT", f"/payments/{added['id']}", changed)[0] == 200
            elif number % 7 == 0:
                assert shared_servers[till % 2].request("DELETE", f"/payments/{added['id']}")[0] == 204

    def close(person):
        statuses = set()
        while not all(till.done() for till in tills):
            statuses.add(shared_servers[person].request("POST", CLOSINGS, {"counts": []})[0])
        return statuses

    with ThreadPoolExecutor(6) as people:
        tills = [people.submit(pay, till) for till in range(4)]
        closers = [people.submit(close, person) for person in range(2)]
        assert [till.result() for till in tills] == [None] * 4
        assert {status for closer in closers for status in closer.result()} == {201}
    assert shared_servers[0].request("POST", CLOSINGS, {"counts": []})[0] == 201
    return closings_of(shared_servers[0])


def test_closings_add_up_to_all_payments_whoever_closes(shared_servers, closings):
    assert [closing["number"] for closing in closings] == list(range(1, len(closings) + 1))
    _, listed = shared_servers[0].request("GET", "/payments")
    lines = [line for closing in closings for line in closing["lines"]]
    assert {(line["method_id"], line["currency_id"]) for line in lines} == {(CASH, EUR)}
    assert sum(line["payments_count"] for line in lines) == 4 * PAYMENTS
    assert sum(line["payments"] + line["corrections"] for line in lines) == sum(paid["amount"] for paid in listed)
    assert shared_servers[0].request("GET", NEXT)[1]["users"] == []
    for earlier, later in zip(closings, closings[1:]):
        assert later["previous_hash"] == earlier["hash"]


def test_each_payment_is_in_one_closing_whoever_closes(shared_servers, closings):
    ids = []
    for closing in closings:
        status, entries = shared_servers[0].request("GET", f"{CLOSINGS}/{closing['number']}/postings")
        ids += [entry["payment_id"] for entry in entries or [] if entry["action"] == "created"]
    assert len(ids) == len(set(ids)) == 4 * PAYMENTS
