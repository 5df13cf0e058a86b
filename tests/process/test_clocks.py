"""Clocks that are wrong, or are set while the service runs"""
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from ..support.faketime import FakeClock, needs_faketime
from ..support.payments import payment
from ..support.server import Server
from ..support.tokens import make_token

pytestmark = needs_faketime

YEAR = timedelta(days=365)
# Valid whichever of the wrong clocks looks at it.
COOKIE = f"accessToken={make_token(exp=int(time.time()) + 2 * YEAR // timedelta(seconds=1))}"


@pytest.fixture
def start(start_server: Callable[..., Server], clock: FakeClock) -> Callable[[timedelta], Server]:
    """Start servers whose clock is ahead of the right time, or behind it."""

    def start(ahead: timedelta) -> Server:
        clock.set(ahead)
        return start_server(command=clock.command)

    return start


def record(server: Server) -> str:
    """Record a payment and return its id."""
    status, body = server.request("POST", "/payments", payment(transaction_id=""), Cookie=COOKIE)
    assert status == 201
    return body["id"]


def list_ids(server: Server, query: str = "") -> list[str]:
    """Return the ids of a list of payments."""
    return [found["id"] for found in server.request("GET", f"/payments?{query}", Cookie=COOKIE)[1] or []]


def link(server: Server, payment_id: str, ticket_id: str) -> None:
    """Link a payment to a ticket."""
    body = {"payment_id": payment_id, "ticket_id": ticket_id}
    assert server.request("POST", "/payments/ticket-payments", body, Cookie=COOKIE)[0] == 201


@pytest.mark.parametrize(
    "clocks",
    [(timedelta(), -timedelta(days=8), -timedelta(days=24)), (YEAR, timedelta()), (timedelta(), -20 * YEAR, YEAR)],
    ids=["ever further behind", "ahead, then right", "from behind to ahead"],
)
def test_later_payments_follow_whatever_the_clock_says(start, clocks):
    recorded = []
    for ahead in clocks:
        server = start(ahead)
        for _ in range(3):
            found = list_ids(server, f"after={recorded[-1]}") if recorded else []
            assert found == []
            recorded.append(record(server))
            assert list_ids(server, f"after={recorded[-2]}" if recorded[1:] else "") == recorded[-1:]
        server.stop()
    assert list_ids(start(timedelta())) == recorded


def test_later_payments_follow_when_the_clock_is_set(start, clock):
    server = start(timedelta())
    recorded = []
    for ahead in (timedelta(), -timedelta(days=24), YEAR, -timedelta(hours=1)):
        clock.set(ahead)
        recorded += [record(server), record(server)]
        assert list_ids(server, f"after={recorded[-2]}") == recorded[-1:]
    assert list_ids(server) == recorded


def test_copies_with_different_clocks_record_in_one_order(start_server, tmp_path):
    clocks = [FakeClock(tmp_path / name) for name in ("behind", "ahead")]
    for clock, ahead in zip(clocks, (-timedelta(days=8), timedelta(minutes=3))):
        clock.set(ahead)
    servers = [start_server(command=clock.command) for clock in clocks]
    recorded = [record(servers[number % 2]) for number in range(8)]
    assert list_ids(servers[0]) == recorded


def test_tickets_are_in_the_order_of_linking(start, clock):
    server = start(timedelta())
    payment_id = record(server)
    tickets = ["ticket-2", "ticket-3", "ticket-1"]
    for ticket_id, ahead in zip(tickets, (timedelta(), -timedelta(days=8), -timedelta(days=24))):
        clock.set(ahead)
        link(server, payment_id, ticket_id)
    links = server.request("GET", f"/payments/ticket-payments/by-payment/{payment_id}", Cookie=COOKIE)[1]
    assert [found["ticket_id"] for found in links] == tickets
