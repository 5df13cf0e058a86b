"""What holds after any run of payments, changes, cash movements and closings, while the clock jumps"""
from collections import Counter
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from payments_service import store

from ..support.clients import client_of
from ..support.closings import CLOSINGS, MOVEMENTS, NEXT
from ..support.examples import same_examples
from ..support.payments import BTC, CASH, CREDIT_CARD, EUR, payment
from ..support.tokens import make_token

some = settings(same_examples, max_examples=25)
DECIMALS = {EUR: 2, BTC: 8}
USERS = [7, 8, None]

methods, currencies = st.sampled_from([CASH, CREDIT_CARD]), st.sampled_from([EUR, BTC])
units = st.integers(0, 10**6)
operations = st.one_of(
    st.tuples(st.just("pay"), methods, currencies, units),
    st.tuples(st.just("pay"), methods, currencies, units),
    st.tuples(st.just("change"), st.integers(0), methods, currencies, units),
    st.tuples(st.just("delete"), st.integers(0)),
    st.tuples(st.just("move"), st.sampled_from(["paid_in", "paid_out"]), currencies, st.integers(1, 10**6)),
    st.tuples(st.just("jump"), st.integers(-60, 60)),
    st.tuples(st.just("close"), st.dictionaries(st.tuples(methods, currencies), st.tuples(units, units), max_size=3)),
)
runs = st.lists(st.tuples(st.sampled_from(USERS), operations), min_size=1, max_size=15)


class Clock(datetime):
    """A clock that jumps, as that of a box without a battery does."""

    offset = timedelta(0)

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.offset


class Till:
    """Plays runs, and knows what the closings were when they were made."""

    def __init__(self, app, rows):
        self.app, self.rows = app, rows
        self.clients = {user: client_of(app, make_token(userId=user)) for user in USERS}
        self.client = self.clients[7]
        self.payments, self.closings = [], {}

    def play(self, run):
        for user, (name, *values) in run:
            getattr(self, name)(self.clients[user], *values)

    def pay(self, client, method, currency, minor_units):
        response = client.post("/payments", json=self.body(method, currency, minor_units))
        assert response.status_code == 201
        self.payments.append(response.json["id"])

    def change(self, client, choice, *values):
        if self.payments:
            path = f"/payments/{self.payments[choice % len(self.payments)]}"
            assert client.put(path, json=self.body(*values)).status_code == 200

    def delete(self, client, choice):
        if self.payments:
            payment_id = self.payments.pop(choice % len(self.payments))
            assert client.delete(f"/payments/{payment_id}").status_code == 204

    def move(self, client, kind, currency, minor_units):
        body = {"kind": kind, "method_id": CASH, "currency_id": currency, "reason": "float"}
        assert client.post(MOVEMENTS, json=body | {"amount": amount(minor_units, currency)}).status_code == 201

    def jump(self, _client, days):
        Clock.offset = timedelta(days=days)

    def close(self, client, counts):
        listed = []
        for (method, currency), (counted, remaining) in counts.items():
            count = {"method_id": method, "currency_id": currency, "counted": amount(counted, currency)}
            if method == CASH:
                count["remaining"] = amount(min(counted, remaining), currency)
            listed.append(count)
        number = client.post(CLOSINGS, json={"counts": listed}).json["number"]
        self.closings[number] = self.read(number)

    def read(self, number):
        """Return the bytes of a closing: of its report, its journal and its archive."""
        with self.app.app_context():
            archive = b"".join(store.archives.write_lines(number))
        paths = [f"{CLOSINGS}/{number}", f"{CLOSINGS}/{number}/postings"]
        return [*(self.client.get(path).data for path in paths), archive]

    def body(self, method, currency, minor_units):
        value = amount(minor_units, currency)
        return payment(method_id=method, currency_id=currency, transaction_id="", amount=value)

    def reports(self):
        """Return all closings, oldest first, and the open one."""
        response = self.client.get(CLOSINGS)
        return [*(response.json if response.status_code == 200 else []), self.client.get(NEXT).json]

    def sums(self, sql):
        """Return the sums of a query by method and currency, without those of zero."""
        found = {}
        for method, currency, minor_units in self.rows.all(f"{sql} GROUP BY method_id, currency_id"):
            key = str(method).replace("-", ""), str(currency).replace("-", "")
            found[key] = int(minor_units)
        return {key: minor_units for key, minor_units in found.items() if minor_units}


def amount(minor_units, currency):
    return Decimal(minor_units).scaleb(-DECIMALS[currency])


def key_of(line):
    return line["method_id"].replace("-", ""), line["currency_id"].replace("-", "")


def to_units(value, line):
    return int(Decimal(value).scaleb(DECIMALS[line["currency_id"]]))


def takings_of(line):
    return line["payments"] + line["corrections"] - line["refunds"]


def add_up(lines, value):
    """Return the sums of lines in minor units by method and currency, without those of zero."""
    found = Counter()
    for line in lines:
        found[key_of(line)] += to_units(value(line), line)
    return {key: minor_units for key, minor_units in found.items() if minor_units}


@pytest.fixture
def till(app, rows, monkeypatch):
    """Make a till whose clock jumps."""
    monkeypatch.setattr(Clock, "offset", timedelta(0))
    for module in (store.payments, store.closings, store.cash_movements, store.business_days):
        monkeypatch.setattr(module, "datetime", Clock)
    return Till(app, rows)


@some
@given(run=runs)
def test_every_sum_of_a_cash_up_agrees_with_every_other(till, run):
    till.play(run)
    takings = "SELECT method_id, currency_id, sum(minor_units) FROM posting WHERE kind IN ('payment', 'correction')"
    paid = till.sums("SELECT method_id, currency_id, sum(minor_units) FROM payment")
    assert till.sums(takings) == paid
    reports = till.reports()
    lines = [line for report in reports for line in report["lines"]]
    assert add_up(lines, takings_of) == paid
    moved = till.sums("SELECT method_id, currency_id, sum(minor_units) FROM posting")
    assert add_up(lines, lambda line: line["expected"] - line["opening"]) == moved
    assert [report["number"] for report in reports] == list(range(1, len(reports) + 1))
    today = datetime.now(timezone.utc).date()
    span = f"from={today - timedelta(days=100)}&to={today + timedelta(days=100)}"
    response = till.client.get(f"/payments/takings?{span}")
    days = response.json["days"] if response.status_code == 200 else []
    assert add_up((line for day in days for line in day["lines"]), takings_of) == paid
    for report in reports:
        users = add_up(report["users"], lambda user: user["takings"])
        assert users == add_up(report["lines"], takings_of)


@some
@given(run=runs)
def test_each_closing_opens_with_what_the_last_one_left(till, run):
    till.play(run)
    remaining = {}
    for report in till.reports():
        opening = {key_of(line): line["opening"] for line in report["lines"] if line["opening"]}
        assert opening == remaining
        remaining = {key_of(line): line["remaining"] for line in report["lines"] if line["remaining"]}


def test_the_bytes_of_a_closing_never_change(till):
    some(given(run=runs)(till.play))()
    for number, before in till.closings.items():
        assert till.read(number) == before
