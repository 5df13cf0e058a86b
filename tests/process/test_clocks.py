"""Clocks that are wrong, or are set while the service runs"""
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from ..support.engines import on_postgresql
from ..support.faketime import FakeClock, needs_faketime
from ..support.payments import payment
from ..support.project import PROJECT, environment
from ..support.server import Server
from ..support.tokens import SECRET, make_token
from ..support.waiting import wait_until

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
    [(timedelta(), -timedelta(days=8), -timedelta(days=24)), (YEAR, timedelta()), (timedelta(), -5 * YEAR, YEAR)],
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


def warnings_of(server: Server) -> list[str]:
    """Return the warnings of the readiness check."""
    status, body = server.request("GET", "/health/ready")
    assert (status, body["status"]) == (200, "ready")
    return body.get("warnings", [])


def logged_by(server: Server) -> list[str]:
    """Return the warnings about the clock that a server has logged so far."""
    return [line for line in server.log if "level=warning" in line and "clock" in line]


def diagnose(database_url: str, clock: FakeClock) -> tuple[int, list[str]]:
    """Run the doctor. Return its exit code and its lines about the clock."""
    command = [*clock.command, sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
    settings = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET)
    result = subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True)
    return result.returncode, [line for line in result.stdout.splitlines() if " clock:" in line]


def test_a_right_clock_is_no_warning(start, database_url, clock):
    server = start(timedelta())
    record(server)
    assert warnings_of(server) == []
    assert not logged_by(server)
    code, (line,) = diagnose(database_url, clock)
    assert line.startswith("ok ")


@pytest.mark.parametrize("behind", [timedelta(minutes=6), timedelta(days=8), 5 * YEAR], ids=str)
def test_a_clock_that_is_behind_is_a_warning_and_a_fault(start, database_url, clock, behind):
    record(start(timedelta()))
    server = start(-behind)
    assert logged_by(server)
    # A payment recorded meanwhile hides nothing.
    record(server)
    assert any("behind the newest moment stored" in warning for warning in warnings_of(server))
    code, lines = diagnose(database_url, clock)
    assert code == 1
    assert lines
    assert all(line.startswith("fault ") for line in lines)


def test_a_clock_without_a_battery_is_a_warning(start, database_url, clock):
    server = start(-56 * YEAR)
    assert any("is in the past" in warning for warning in warnings_of(server))
    assert logged_by(server)
    assert diagnose(database_url, clock)[0] == 1


@on_postgresql
@pytest.mark.parametrize("ahead", [YEAR, timedelta(hours=1), -timedelta(hours=1)], ids=str)
def test_a_clock_that_differs_from_the_servers_is_a_warning(start, database_url, clock, ahead):
    server = start(ahead)
    (warning,) = warnings_of(server)
    assert f"{'ahead of' if ahead > timedelta() else 'behind'} the database server's clock" in warning
    assert logged_by(server)
    code, (line,) = diagnose(database_url, clock)
    assert code == 1
    assert "the database server's clock" in line


def test_a_clock_set_back_while_it_runs_is_logged_once(start, clock):
    server = start(timedelta())
    record(server)
    for times in (1, 2):
        clock.set(-timedelta(days=8))
        for _ in range(3):
            assert warnings_of(server)
        wait_until(lambda: len(logged_by(server)) >= times)
        clock.set(timedelta())
        assert warnings_of(server) == []
    server.stop()
    assert len([line for line in logged_by(server) if "newest moment stored" in line]) == 2
