"""Several copies of the service on one database"""
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from ..support.engines import on_postgresql, on_sqlite
from ..support.payments import payment
from ..support.rows import load_first_release
from ..support.server import Server


@pytest.fixture
def servers(start_server) -> list[Server]:
    """Start two servers at once."""
    with ThreadPoolExecutor(2) as starters:
        return list(starters.map(lambda _: start_server(), range(2)))


@on_postgresql
@pytest.mark.empty_database
def test_two_servers_can_start_at_once_on_an_empty_database(servers):
    for server in servers:
        assert server.port, server.log
        assert len(server.request("GET", "/payments/methods")[1]) == 4


@on_sqlite
@pytest.mark.empty_database
def test_two_servers_can_start_at_once_on_an_older_database(database_url, start_server):
    load_first_release(database_url)
    with ThreadPoolExecutor(2) as starters:
        servers = list(starters.map(lambda _: start_server(), range(2)))
    for server in servers:
        assert len(server.request("GET", "/payments/methods")[1]) > 4


def test_two_servers_see_each_others_payments(servers):
    payment_id = servers[0].request("POST", "/payments", payment())[1]["id"]
    assert servers[1].request("GET", f"/payments/{payment_id}")[0] == 200
    assert servers[1].request("POST", "/payments", payment())[0] == 409


def test_a_transaction_id_posted_to_both_is_used_once(servers):
    start = Barrier(2)

    def post(server):
        start.wait(timeout=30)
        return server.request("POST", "/payments", body)[0]

    with ThreadPoolExecutor(2) as clients:
        for number in range(50):
            body = payment(transaction_id=f"txn-{number}")
            assert sorted(clients.map(post, servers)) == [201, 409]
    assert len(servers[0].request("GET", "/payments")[1]) == 50


def test_no_payment_is_rejected_for_having_to_wait(servers):
    def post(number):
        return servers[number % 2].request("POST", "/payments", payment(transaction_id=f"txn-{number}"))[0]

    with ThreadPoolExecutor(16) as clients:
        assert set(clients.map(post, range(400))) == {201}
    assert len(servers[0].request("GET", "/payments")[1]) == 400


def test_a_killed_server_does_not_disturb_the_other(servers):
    assert servers[0].request("POST", "/payments", payment())[0] == 201
    servers[0].process.kill()
    assert servers[1].request("POST", "/payments", payment(transaction_id="txn-2"))[0] == 201
    assert len(servers[1].request("GET", "/payments")[1]) == 2
