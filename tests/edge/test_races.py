"""Concurrent requests"""
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from ..support.payments import BTC, payment
from ..support.server import Server


def race(servers: list[Server], *requests) -> list[int]:
    """Send requests at once, to one server after the other, and return their statuses."""
    start = Barrier(len(requests))

    def send(number):
        method, path, body, headers = requests[number]
        start.wait(timeout=30)
        return servers[number % len(servers)].request(method, path, body, **headers)[0]

    with ThreadPoolExecutor(len(requests)) as callers:
        return list(callers.map(send, range(len(requests))))


@pytest.fixture(scope="module")
def servers(start_shared_server) -> list[Server]:
    """Start two servers on one database. Tests use only the payments that they record on it."""
    return [start_shared_server(), start_shared_server()]


def test_of_two_concurrent_changes_one_wins(servers):
    for number in range(25):
        _, added = servers[0].request("POST", "/payments", payment(transaction_id="", amount=1))
        path, expected = f"/payments/{added['id']}", {"If-Match": '"1"'}
        changes = [("PUT", path, payment(transaction_id="", amount=amount), expected) for amount in (2, 3)]
        statuses = race(servers, *changes)
        assert sorted(statuses) == [200, 412]
        assert servers[0].request("GET", path)[1]["amount"] == 2 + statuses.index(200)


def test_of_a_concurrent_change_and_delete_one_wins(servers):
    for number in range(25):
        _, added = servers[0].request("POST", "/payments", payment(transaction_id=""))
        path, expected = f"/payments/{added['id']}", {"If-Match": '"1"'}
        changed, deleted = race(
            servers, ("PUT", path, payment(transaction_id=""), expected), ("DELETE", path, None, expected)
        )
        assert (changed, deleted) in [(200, 412), (404, 204)]


def test_concurrent_changes_without_if_match_are_all_made(servers):
    _, added = servers[0].request("POST", "/payments", payment(transaction_id=""))
    path = f"/payments/{added['id']}"
    for _ in range(5):
        bodies = [payment(transaction_id="", amount=1), payment(transaction_id="", amount=1, currency_id=BTC)] * 4
        assert race(servers, *(("PUT", path, body, {}) for body in bodies)) == [200] * 8
    assert len(servers[0].request("GET", f"{path}/history")[1]) == 41


def test_concurrent_changes_are_recorded_in_order(servers):
    _, added = servers[0].request("POST", "/payments", payment(transaction_id=""))
    path = f"/payments/{added['id']}"

    def change(amount):
        return servers[0].request("PUT", path, payment(transaction_id="", amount=amount))[0]

    with ThreadPoolExecutor(6) as callers:
        assert set(callers.map(change, range(60))) == {200}
    _, entries = servers[0].request("GET", f"{path}/history")
    assert len(entries) == 61
    for earlier, later in zip(entries, entries[1:]):
        assert later["before"] == earlier["after"]
    assert entries[-1]["after"] == servers[0].request("GET", path)[1]


@pytest.mark.parametrize("processes", [1, 2])
def test_six_concurrent_requests_with_one_key_pay_once(start_server, processes):
    servers = [start_server() for _ in range(processes)]
    start = Barrier(6)

    def pay(number):
        start.wait(timeout=30)
        return servers[number % processes].request("POST", "/payments", body, **{"Idempotency-Key": key})

    ids = []
    with ThreadPoolExecutor(6) as tills:
        for number in range(40):
            # Every other payment has a transaction_id, which alone would be rejected the second time.
            key, body = f"key-{number}", payment(transaction_id=f"txn-{number}" if number % 2 else "")
            answers = list(tills.map(pay, range(6)))
            assert [status for status, _ in answers] == [201] * 6, answers
            assert len({answer["id"] for _, answer in answers}) == 1
            ids.append(answers[0][1]["id"])
    assert [listed["id"] for listed in servers[0].request("GET", "/payments")[1]] == sorted(ids)


def test_a_transaction_id_posted_concurrently_is_used_once(server):
    with ThreadPoolExecutor(16) as clients:
        codes = list(clients.map(lambda _: server.request("POST", "/payments", payment())[0], range(16)))
    assert sorted(codes) == [201] + [409] * 15
    assert len(server.request("GET", "/payments")[1]) == 1


def test_payments_posted_concurrently_are_all_recorded(server):
    def post(number):
        return server.request("POST", "/payments", payment(transaction_id=f"txn-{number}"))[1]["id"]

    with ThreadPoolExecutor(8) as clients:
        ids = list(clients.map(post, range(200)))
    assert [listed["id"] for listed in server.request("GET", "/payments")[1]] == sorted(ids)
