"""GET /payments/takings"""
from datetime import date, timedelta
from decimal import Decimal

import pytest

from ..support.clients import client_of
from ..support.closings import close
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, payment
from ..support.rows import stored
from ..support.tokens import make_token

TAKINGS = "/payments/takings"


@pytest.fixture
def insert_posting(app, rows):
    """Insert a posting of a day without the service."""

    def insert(business_date, minor_units, **changed):
        row = {"history_id": 1, "method_id": stored(CASH), "currency_id": stored(EUR), "user_id": "7"}
        row |= {"kind": "payment", "closing": 1, "business_date": business_date, "minor_units": minor_units}
        rows.insert("posting", row | {name: stored(value) for name, value in changed.items()})

    return insert


def test_the_takings_of_today_are_the_default(client, make_client):
    client.post("/payments", json=payment(transaction_id="", amount=5))
    make_client(userId=7).post("/payments", json=payment(transaction_id="", amount=Decimal("2.50")))
    client.post("/payments", json=payment(transaction_id="", amount=1, method_id=CREDIT_CARD))
    response = client.get(TAKINGS)
    (day,) = response.json["days"]
    assert response.json["from"] == response.json["to"] == day["business_date"]
    assert [(line["method"], line["user_id"], str(line["takings"])) for line in day["lines"]] == [
        ("Cash", "12", "5.00"), ("Cash", "7", "2.50"), ("Credit Card", "12", "1.00"),
    ]
    assert response.json["totals"] == [
        {
            "currency_id": EUR,
            "currency": "EUR",
            "payments": Decimal("8.50"),
            "payments_count": 3,
            "corrections": 0,
            "corrections_count": 0,
            "refunds": 0,
            "refunds_count": 0,
            "takings": Decimal("8.50"),
            "tips": 0,
        }
    ]


def test_days_without_takings_give_204(client, add_payment):
    assert client.get(TAKINGS).status_code == 204
    add_payment()
    assert client.get(f"{TAKINGS}?from=2026-01-01&to=2026-01-31").status_code == 204


def test_days_are_inclusive_and_in_order(client, insert_posting):
    for day in (3, 1, 2, 4):
        insert_posting(f"2026-11-0{day}", 100 * day)
    response = client.get(f"{TAKINGS}?from=2026-11-01&to=2026-11-03")
    assert [day["business_date"] for day in response.json["days"]] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert [total["takings"] for total in response.json["totals"]] == [6]


def test_refunds_and_corrections_are_shown_apart(client, insert_posting):
    for kind, minor_units in [("payment", 1000), ("correction", -300), ("refund", -200), ("refund", -50)]:
        insert_posting("2026-11-01", minor_units, kind=kind)
    insert_posting("2026-11-01", 700, kind="paid_in")
    (line,) = client.get(f"{TAKINGS}?from=2026-11-01&to=2026-11-01").json["days"][0]["lines"]
    shown = {name: str(line[name]) for name in ("payments", "corrections", "refunds", "refunds_count", "takings")}
    assert shown == {
        "payments": "10.00", "corrections": "-3.00", "refunds": "2.50", "refunds_count": "2", "takings": "4.50",
    }


def test_currencies_are_never_mixed(client, insert_posting):
    insert_posting("2026-11-01", 100)
    insert_posting("2026-11-01", 12345, method_id=BITCOIN_LIGHTNING, currency_id=BTC)
    totals = client.get(f"{TAKINGS}?from=2026-11-01&to=2026-11-01").json["totals"]
    assert [(total["currency"], str(total["takings"])) for total in totals] == [("EUR", "1.00"), ("BTC", "0.00012345")]


def test_a_closing_does_not_change_the_takings(client, add_payment):
    add_payment()
    before = client.get(TAKINGS).data
    close(client)
    assert client.get(TAKINGS).data == before


@pytest.mark.parametrize(
    "query",
    ["from=2026-11-02&to=2026-11-01", "from=2025-11-01&to=2026-11-02", "from=9999-12-31", "to=2020-01-01"],
)
def test_days_that_cannot_be_are_rejected(client, query):
    response = client.get(f"{TAKINGS}?{query}")
    assert response.status_code == 422
    assert response.json["errors"]["query"]["to"] == [
        "Must be the day of from or a later one, 366 days at most in all."
    ]


def test_366_days_are_accepted(client):
    assert client.get(f"{TAKINGS}?from=2024-01-01&to=2024-12-31").status_code == 204


@pytest.mark.parametrize("text", ["yesterday", "20261101", "2026-11-31", "2026-11-01T00:00:00Z", "", "2026-W48-1"])
def test_text_that_is_no_date_is_rejected(client, text):
    response = client.get(f"{TAKINGS}?from={text}")
    assert response.status_code == 422
    assert response.json["errors"] == {"query": {"from": ["Send a date, such as 2026-11-22."]}}


def test_a_changed_setting_never_moves_the_past(make_app):
    def today_of(**settings):
        client = client_of(make_app(**settings), make_token())
        client.post("/payments", json=payment(transaction_id="", amount=1))
        return client.get("/payments/closings/next").json["business_date"], client

    # 26 hours apart: the dates always differ.
    early, _ = today_of(TIME_ZONE="Etc/GMT+12", DAY_ENDS="11:59")
    late, client = today_of(TIME_ZONE="Pacific/Kiritimati")
    assert date.fromisoformat(late) - date.fromisoformat(early) >= timedelta(days=1)
    days = client.get(f"{TAKINGS}?from={early}&to={late}").json["days"]
    assert [(day["business_date"], day["lines"][0]["payments"]) for day in days] == [(early, 1), (late, 1)]
