"""Tips: a part of a payment's amount that is paid out to the staff"""
import json
from decimal import Decimal

import pytest

from payments_service.store import archives

from ..support.closings import CLOSINGS, NEXT, close, line_of
from ..support.history import history_of
from ..support.payments import BTC, CASH, CREDIT_CARD, EUR, payment


def change(client, payment_id, **changed):
    return client.put(f"/payments/{payment_id}", json=payment(**{"transaction_id": ""} | changed))


def tips_of(report, method_id=CASH):
    return str(line_of(report, method_id, EUR)["tips"])


def test_a_tip_is_shown_only_if_it_is_not_zero(client, add_payment):
    with_tip, without = add_payment(tip=Decimal("4.50")), add_payment(tip=0)
    shown = client.get(f"/payments/{with_tip}")
    assert shown.data.endswith(b'"amount":45.50,"tip":4.50}\n')
    assert list(client.get(f"/payments/{without}").json)[-1] == "amount"
    assert ["tip" in listed for listed in client.get("/payments").json] == [True, False]


def test_a_change_without_a_tip_keeps_it(client, add_payment):
    payment_id = add_payment(tip=5)
    for changed, tip in [({}, 5), ({"tip": None}, 5), ({"tip": 3}, 3), ({"amount": 3}, 3), ({"tip": 0}, None)]:
        body = payment(transaction_id="") | changed
        assert client.put(f"/payments/{payment_id}", json=body).status_code == 200
        assert client.get(f"/payments/{payment_id}").json.get("tip") == tip


def test_a_payment_read_with_its_tip_can_be_written_back(client, add_payment):
    payment_id = add_payment(tip=5)
    assert client.put(f"/payments/{payment_id}", json=client.get(f"/payments/{payment_id}").json).status_code == 200


@pytest.mark.parametrize("tip", ["5", -1, Decimal("0.001"), Decimal("45.51"), True])
def test_an_invalid_tip_is_named(client, add_payment, tip):
    payment_id = add_payment()
    for response in (client.post("/payments", json=payment(tip=tip)), change(client, payment_id, tip=tip)):
        assert (response.status_code, list(response.json["errors"]["json"])) == (422, ["tip"])


def test_a_change_below_the_tip_that_it_keeps_is_rejected(client, add_payment):
    payment_id = add_payment(tip=5)
    assert change(client, payment_id, amount=Decimal("4.99")).status_code == 409


def test_a_change_of_the_currency_needs_the_tip(client, add_payment):
    payment_id = add_payment(tip=5)
    response = change(client, payment_id, currency_id=BTC)
    assert (response.status_code, list(response.json["errors"]["json"])) == (422, ["tip"])
    assert change(client, payment_id, currency_id=BTC, tip=Decimal("0.00000001")).status_code == 200


def test_the_history_has_tips(client, add_payment):
    payment_id = add_payment(tip=5)
    change(client, payment_id, tip=0)
    created, changed = history_of(client, payment_id)
    assert created["after"] == changed["before"] == client.get(f"/payments/{payment_id}").json | {"tip": 5}
    assert "tip" not in changed["after"]


def test_reports_show_tips_by_line_and_user(make_client):
    waiter, other = make_client(userId=7), make_client(userId=8)
    for client, tip in ((waiter, "3.00"), (other, "1.50"), (other, "0")):
        body = payment(transaction_id="", tip=Decimal(tip))
        assert client.post("/payments", json=body).status_code == 201
    report = waiter.get(NEXT).json
    line = line_of(report, CASH, EUR)
    assert (tips_of(report), str(line["payments"]), str(line["expected"])) == ("4.50", "136.50", "136.50")
    assert [(user["user_id"], str(user["tips"])) for user in report["users"]] == [("7", "3.00"), ("8", "1.50")]
    takings = waiter.get("/payments/takings").json
    assert [str(line["tips"]) for line in takings["days"][0]["lines"]] == ["3.00", "1.50"]
    assert [(str(total["takings"]), str(total["tips"])) for total in takings["totals"]] == [("136.50", "4.50")]
    close(waiter)
    closing = waiter.get(f"{CLOSINGS}/1").json
    assert (closing["lines"][0]["tips"], closing["users"]) == (Decimal("4.50"), report["users"])


def test_tips_follow_changes_and_deletions(client, add_payment):
    first, second = add_payment(tip=5), add_payment(tip=2)
    change(client, first, tip=4)
    assert tips_of(client.get(NEXT).json) == "6.00"
    change(client, first, method_id=CREDIT_CARD)
    report = client.get(NEXT).json
    assert (tips_of(report), tips_of(report, CREDIT_CARD)) == ("2.00", "4.00")
    client.delete(f"/payments/{second}")
    assert tips_of(client.get(NEXT).json) == "0.00"


def test_the_archive_of_a_closing_has_tips(app, client, add_payment):
    add_payment(tip=5)
    close(client)
    with app.app_context():
        *_, last = archives.write_lines(1)
    totals = json.loads(last, parse_float=Decimal)
    assert (totals["lines"][0]["tips"], totals["users"][0]["tips"]) == (5, 5)
