"""/payments/{id}/refunds: record, list and delete"""
from decimal import Decimal

import pytest

from ..support.closings import CLOSINGS, NEXT, amounts, close, line_of
from ..support.engines import on_one_engine
from ..support.history import history_of
from ..support.payments import BTC, CASH, CREDIT_CARD, EUR, NOBODY, UNKNOWN, etag_of, payment
from ..support.rows import Rows, stored
from ..support.tickets import refund


def refunds_of(client, payment_id, query=""):
    response = client.get(f"/payments/{payment_id}/refunds{query}")
    return response.json if response.status_code == 200 else []


def test_a_refund_is_recorded_and_listed(client, make_client, add_payment, link):
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    fields = {"reason": "cold soup", "method_id": CREDIT_CARD, "transaction_id": "txn-9", "ticket_id": "ticket-1"}
    response = refund(make_client(userId=7), payment_id, "20.00", **fields)
    assert response.status_code == 201
    assert response.json == {"id": response.json["id"], "message": "Refund added successfully"}
    assert response.headers["Location"].endswith(f"/payments/{payment_id}/refunds")
    (found,) = refunds_of(client, payment_id)
    assert found == fields | {
        "id": response.json["id"], "payment_id": payment_id, "currency_id": EUR, "amount": 20, "user_id": "7",
        "at": found["at"], "closing": 1,
    }
    assert str(found["amount"]) == "20.00"


@pytest.mark.parametrize("blank", [{}, {"reason": " ", "transaction_id": ""}, {"reason": None, "ticket_id": None}])
def test_only_the_amount_of_a_refund_is_required(client, add_payment, blank):
    payment_id = add_payment(method_id=CREDIT_CARD)
    assert refund(client, payment_id, "1", **blank).status_code == 201
    (found,) = refunds_of(client, payment_id)
    assert found["method_id"] == CREDIT_CARD
    assert [found[name] for name in ("reason", "transaction_id", "ticket_id")] == [None] * 3


def test_no_more_is_refunded_than_was_paid(client, add_payment):
    payment_id = add_payment()
    assert refund(client, payment_id, "20.00").status_code == 201
    response = refund(client, payment_id, "25.51")
    assert (response.status_code, response.json["message"]) == (
        409, "45.50 was paid and 20.00 refunded: at most 25.50.",
    )
    assert refund(client, payment_id, "25.50").status_code == 201
    response = refund(client, payment_id, "0.01")
    assert (response.status_code, response.json["message"]) == (
        409, "45.50 was paid and 45.50 refunded: at most 0.00.",
    )
    assert [str(found["amount"]) for found in refunds_of(client, payment_id)] == ["20.00", "25.50"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", 0),
        ("amount", -1),
        ("amount", "1"),
        ("amount", None),
        ("amount", Decimal("0.001")),
        ("reason", "x" * 256),
        ("reason", " soup"),
        ("method_id", UNKNOWN),
        ("method_id", "cash"),
        ("transaction_id", "x" * 2001),
        ("ticket_id", "not-linked"),
        ("ticket_id", " "),
        ("currency_id", EUR),
    ],
)
def test_an_invalid_field_of_a_refund_is_named(client, add_payment, field, value):
    payment_id = add_payment()
    response = client.post(f"/payments/{payment_id}/refunds", json={"amount": 1} | {field: value})
    assert (response.status_code, list(response.json["errors"]["json"])) == (422, [field])
    assert refunds_of(client, payment_id) == []


def test_refunds_of_an_unknown_payment_are_not_found(client, add_payment):
    payment_id = add_payment()
    assert refund(client, NOBODY, "1").status_code == 404
    assert client.get(f"/payments/{NOBODY}/refunds").status_code == 404
    assert client.get(f"/payments/{payment_id}/refunds").status_code == 204
    refund_id = refund(client, payment_id, "1").json["id"]
    assert client.delete(f"/payments/{add_payment()}/refunds/{refund_id}").status_code == 404
    assert client.delete(f"/payments/{payment_id}/refunds/{NOBODY}").status_code == 404
    assert client.delete(f"/payments/{payment_id}/refunds/none").status_code == 404


def test_a_refund_posts_under_its_own_method(client, add_payment):
    payment_id = add_payment(method_id=CREDIT_CARD)
    close(client)
    before = client.get(f"{CLOSINGS}/1").data
    assert refund(client, payment_id, "20.00", method_id=CASH).status_code == 201
    report = client.get(NEXT).json
    assert [line["method_id"] for line in report["lines"]] == [CASH]
    assert amounts(line_of(report, CASH, EUR)) == {"refunds": 20, "refunds_count": 1, "expected": -20}
    assert client.get(f"{CLOSINGS}/1").data == before


def test_a_deleted_refund_posts_a_correction(client, add_payment):
    payment_id = add_payment()
    refund_id = refund(client, payment_id, "20.00", method_id=CREDIT_CARD).json["id"]
    assert client.delete(f"/payments/{payment_id}/refunds/{refund_id}").status_code == 204
    assert refunds_of(client, payment_id) == []
    line = line_of(client.get(NEXT).json, CREDIT_CARD, EUR)
    assert amounts(line) == {"refunds": 20, "refunds_count": 1, "corrections": 20, "corrections_count": 1}
    assert refund(client, payment_id, "45.50").status_code == 201


def test_the_history_and_the_journal_have_refunds(client, add_payment):
    payment_id = add_payment()
    refund_id = refund(client, payment_id, "20.00", reason="cold soup").json["id"]
    client.delete(f"/payments/{payment_id}/refunds/{refund_id}")
    _, refunded, deleted = history_of(client, payment_id)
    assert (refunded["action"], deleted["action"]) == ("refunded", "refund_deleted")
    assert refunded["before"] is deleted["after"] is None
    assert refunded["after"] == deleted["before"] == {
        "id": refund_id, "payment_id": payment_id, "method_id": CASH, "currency_id": EUR, "amount": 20,
        "reason": "cold soup", "transaction_id": None, "ticket_id": None,
    }
    _, given, taken = client.get(f"{NEXT}/postings").json
    assert [(line["payment_id"], line["reason"]) for line in (given, taken)] == [(payment_id, "cold soup")] * 2
    assert [str(line["amount"]) for line in (given, taken)] == ["-20.00", "20.00"]


def test_a_payment_with_refunds_cannot_be_deleted(client, add_payment):
    payment_id = add_payment()
    refund_id = refund(client, payment_id, "20.00").json["id"]
    assert client.delete(f"/payments/{payment_id}").status_code == 409
    assert client.delete(f"/payments/{payment_id}/refunds/{refund_id}").status_code == 204
    assert client.delete(f"/payments/{payment_id}").status_code == 204


def test_a_payment_is_not_changed_below_its_refunds(client, add_payment):
    payment_id = add_payment()
    refund(client, payment_id, "20.00")

    def change(**changed):
        return client.put(f"/payments/{payment_id}", json=payment(transaction_id="", **changed)).status_code

    assert change(amount=Decimal("19.99")) == 409
    assert change(currency_id=BTC) == 409
    assert change(amount=Decimal("20.00"), method_id=CREDIT_CARD) == 200
    assert refund(client, payment_id, "0.01").status_code == 409


def test_a_refund_changes_the_etag_of_its_payment(client, add_payment):
    payment_id = add_payment()
    before = etag_of(client, payment_id)
    refund_id = refund(client, payment_id, "20.00").json["id"]
    refunded = etag_of(client, payment_id)
    client.delete(f"/payments/{payment_id}/refunds/{refund_id}")
    assert len({before, refunded, etag_of(client, payment_id)}) == 3
    headers = {"If-Match": before}
    assert client.delete(f"/payments/{payment_id}", headers=headers).status_code == 412


def test_a_retry_of_a_refund_gives_back_once(client, add_payment):
    payment_id, headers = add_payment(), {"Idempotency-Key": "refund-1"}
    path, body = f"/payments/{payment_id}/refunds", {"amount": Decimal("20.0"), "reason": "cold soup"}
    first = client.post(path, json=body, headers=headers)
    second = client.post(path, json=body | {"amount": Decimal("20.00"), "ticket_id": None}, headers=headers)
    assert (second.status_code, second.data) == (201, first.data)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    other = client.post(path, json=body | {"amount": 1}, headers=headers)
    assert (other.status_code, first.json["id"] in other.json["message"]) == (422, True)
    assert len(refunds_of(client, payment_id)) == 1


@on_one_engine
def test_refunds_are_listed_in_pages(client, add_payment):
    payment_id = add_payment()
    ids = [refund(client, payment_id, "1").json["id"] for _ in range(3)]
    response = client.get(f"/payments/{payment_id}/refunds?limit=2")
    assert [found["id"] for found in response.json] == ids[:2]
    assert f"limit=2&after={ids[1]}" in response.headers["Link"]
    assert [found["id"] for found in refunds_of(client, payment_id, f"?limit=2&after={ids[1]}")] == ids[2:]


@pytest.mark.parametrize(
    "columns",
    [
        {"refunded_units": 4551}, {"refunded_units": -1}, {"tip_units": 4551}, {"tip_units": -1},
        {"allocated_units": 4551}, {"tip_units": 1, "allocated_units": 4550},
    ],
    ids=str,
)
def test_the_database_rejects_more_than_was_paid(insert_payments, columns):
    insert_payments({} | {"refunded_units": 4550, "tip_units": 50, "allocated_units": 4500})
    with pytest.raises(Rows.Rejected):
        insert_payments({"id": UNKNOWN, "transaction_id": "txn-2"} | columns)


@pytest.mark.parametrize(
    "changed",
    [{"minor_units": 0}, {"payment_id": UNKNOWN}, {"method_id": UNKNOWN}, {"reason": ""}, {"ticket_id": ""}],
    ids=str,
)
def test_an_invalid_refund_is_rejected_by_the_database(client, add_payment, rows, changed):
    row = {"id": NOBODY, "payment_id": add_payment(), "method_id": CASH, "minor_units": 1, "closing": 1}
    row |= {"at": "2026-01-01 00:00:00.000000+00:00"}
    with pytest.raises(Rows.Rejected):
        rows.insert("refund", {name: stored(value) for name, value in (row | changed).items()})
    rows.insert("refund", {name: stored(value) for name, value in row.items()})
