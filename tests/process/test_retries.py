"""Retries of requests whose first try saw another clock"""
import time
from datetime import timedelta

import pytest

from ..support.engines import on_postgresql
from ..support.faketime import FakeClock, needs_faketime
from ..support.payments import payment
from ..support.tokens import make_token

pytestmark = needs_faketime

YEAR = timedelta(days=365)
# Valid whichever of the wrong clocks looks at it.
COOKIE = {"Cookie": f"accessToken={make_token(exp=int(time.time()) + 2 * YEAR // timedelta(seconds=1))}"}


@pytest.fixture
def clock(tmp_path):
    """Make a wrong clock for servers."""
    return FakeClock(tmp_path / "clock")


def pay(server, key, **changed):
    """Record a payment and return the response's status and its id, or its message."""
    body = payment(**{"transaction_id": ""} | changed)
    status, response = server.request("POST", "/payments", body, **COOKIE, **{"Idempotency-Key": key})
    return status, response.get("id", response["message"])


@pytest.mark.parametrize("days", [-24, -8, 1, 366])
def test_a_retry_after_the_clock_was_set_right_pays_nothing(start_server, clock, days):
    server = start_server(command=clock.command)
    clock.set(timedelta(days=days))
    first = pay(server, "key-1")
    clock.set(timedelta())
    assert pay(server, "key-2")[0] == 201
    assert pay(server, "key-1") == first
    assert pay(server, "key-1", amount=1)[0] == 422, "".join(server.log)
    assert len(server.request("GET", "/payments", **COOKIE)[1]) == 2


def test_a_clock_that_is_a_year_ahead_for_a_while_removes_no_key(start_server, clock):
    server = start_server(command=clock.command)
    first = [pay(server, f"key-{number}") for number in range(30)]
    clock.set(timedelta(days=365))
    ahead = [pay(server, f"ahead-{number}") for number in range(3)]
    clock.set(timedelta())
    assert [pay(server, f"key-{number}") for number in range(30)] == first
    assert [pay(server, f"ahead-{number}") for number in range(3)] == ahead


@on_postgresql
def test_the_age_of_a_key_is_by_postgresqls_clock(start_server, clock, rows):
    server = start_server(command=clock.command)
    clock.set(timedelta(days=-400))
    assert pay(server, "key-1")[0] == 201
    assert rows.all("SELECT now() - created_at < interval '1 hour' FROM idempotency_key") == [(True,)]
