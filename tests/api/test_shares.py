"""How much of a payment goes to which ticket, and what a ticket has left to pay"""
from decimal import Decimal

import pytest

from payments_service import store
from payments_service.database import RetryWrite

from ..support.engines import on_one_engine
from ..support.history import history_of
from ..support.payments import BTC, CASH, CREDIT_CARD, EUR, UNKNOWN, payment
from ..support.tickets import LINKS, balance, link_share, refund, share

ZERO = "0.00"


@pytest.fixture
def pay(client):
    """Record a payment with tickets, each an id and an amount or None, and return the response."""

    def post(amount, *tickets, headers=None, **fields):
        listed = [
            {"ticket_id": ticket_id} | ({} if part is None else {"amount": Decimal(part)})
            for ticket_id, part in tickets
        ]
        body = payment(transaction_id="", amount=Decimal(amount), tickets=listed or None, **fields)
        return client.post("/payments", json=body, headers=headers)

    return post


def line(paid=ZERO, refunded=ZERO, unclear=ZERO, **remaining):
    return [{"currency": "EUR", "paid": paid, "refunded": refunded, "unclear": unclear} | remaining]


def test_shares_and_the_tip_are_never_more_than_the_payment(client, add_payment):
    payment_id = add_payment(amount=165, tip=6)
    assert link_share(client, payment_id, "T1", "100.00") == 201
    assert link_share(client, payment_id, "T2", "59.00") == 201
    response = client.post(LINKS, json=share(payment_id, "T3", "0.01"))
    assert (response.status_code, response.json["message"]) == (
        409, "165.00 was paid, 159.00 goes to tickets and 6.00 is the tip: at most 0.00.",
    )
    body = payment(transaction_id="", amount=Decimal("164.99"))
    response = client.put(f"/payments/{payment_id}", json=body)
    assert (response.status_code, response.json["message"]) == (
        409, "159.00 goes to tickets and 6.00 is the tip: at least 165.00.",
    )
    assert client.put(f"/payments/{payment_id}", json=body | {"tip": Decimal("5.99")}).status_code == 200
    assert client.put(f"/payments/{payment_id}", json=body | {"tip": 6}).status_code == 409


def test_lists_show_a_share_where_there_is_one(client, add_payment, link):
    payment_id = add_payment(amount=165)
    link_share(client, payment_id, "T1", "100.00")
    link(payment_id, "T2")
    first, second = client.get(f"{LINKS}/by-payment/{payment_id}").json
    assert first == {"payment_id": payment_id, "ticket_id": "T1", "share": 100}
    assert str(first["share"]) == "100.00"
    assert second == {"payment_id": payment_id, "ticket_id": "T2"}
    (shown,) = client.get(f"{LINKS}/by-ticket/T1").json
    assert list(shown)[-3:] == ["payment_id", "ticket_id", "share"]
    assert "share" not in client.get(f"{LINKS}/by-ticket/T2").json[0]
    assert "share" not in client.get("/payments?ticket_id=T1").json[0]


def test_the_response_to_a_link_with_an_amount_is_the_same(client, add_payment):
    payment_id = add_payment()
    response = client.post(LINKS, json=share(payment_id, "T1", "1", total="1"))
    assert response.json == {
        "paymentId": payment_id, "ticketId": "T1", "message": "Ticket payment relationship created successfully",
    }


def test_deleting_a_link_gives_its_share_back(client, add_payment):
    first, second = add_payment(amount=10), add_payment(amount=10)
    for payment_id in (first, second):
        assert link_share(client, payment_id, "T1", "10.00") == 201
    assert client.delete(f"{LINKS}?paymentId={first}&ticketId=T1").status_code == 204
    assert client.delete(f"{LINKS}/by-ticket/T1").status_code == 204
    for payment_id in (first, second):
        assert link_share(client, payment_id, "T2", "10.00") == 201


def test_the_history_has_the_share_of_a_link(client, add_payment, rows):
    payment_id = add_payment()
    link_share(client, payment_id, "T1", "20.00")
    client.delete(f"{LINKS}?paymentId={payment_id}&ticketId=T1")
    _, linked, unlinked = history_of(client, payment_id)
    assert linked["after"] == unlinked["before"] == {"payment_id": payment_id, "ticket_id": "T1", "share": 20}
    assert rows.all("SELECT count(*) FROM posting") == [(1,)]


def test_the_currency_of_a_shared_payment_does_not_change(client, add_payment, link):
    payment_id = add_payment()
    link(payment_id, "T1")
    body = payment(transaction_id="", currency_id=BTC)
    assert client.put(f"/payments/{payment_id}", json=body).status_code == 200
    link_share(client, payment_id, "T2", "20")
    assert client.put(f"/payments/{payment_id}", json=body | {"currency_id": EUR}).status_code == 409


@pytest.mark.parametrize(
    "changed", [{"amount": "1"}, {"amount": -1}, {"amount": Decimal("0.001")}, {"ticket_total": Decimal("0.001")}],
    ids=str,
)
def test_an_invalid_amount_of_a_link_is_named(client, add_payment, changed):
    payment_id = add_payment()
    response = client.post(LINKS, json=share(payment_id, "T1") | changed)
    assert (response.status_code, list(response.json["errors"]["json"])) == (422, list(changed))
    assert client.get(f"{LINKS}/by-payment/{payment_id}").status_code == 204


def test_a_payment_is_recorded_with_its_tickets(client, pay):
    response = pay("165.00", ("T2", "59.00"), ("T1", None), tip=6)
    assert response.json == {"id": response.json["id"], "message": "Payment added successfully"}
    links = client.get(f"{LINKS}/by-payment/{response.json['id']}").json
    assert [(found["ticket_id"], found.get("share")) for found in links] == [("T2", 59), ("T1", None)]
    assert [entry["action"] for entry in history_of(client, response.json["id"])] == ["created", "linked", "linked"]


@pytest.mark.parametrize(
    ("tickets", "status"),
    [
        ([{"ticket_id": "T1", "amount": 100}, {"ticket_id": "T2", "amount": 66}], 409),
        ([{"ticket_id": "T1", "amount": 100, "ticket_total": 99}], 409),
        ([{"ticket_id": "T1"}, {"ticket_id": "T2", "ticket_total": 99}], 422),
        ([{"ticket_id": "T1"}, {"ticket_id": "T1"}], 422),
        ([{"ticket_id": "T1", "amount": Decimal("0.001")}], 422),
        ([{"ticket_id": "T1 "}], 422),
        ([{"ticket_id": ""}], 422),
        ([{"amount": 1}], 422),
        ([{"ticket_id": "T1", "colour": 1}], 422),
        (["T1"], 422),
        ("T1", 422),
        ([{"ticket_id": f"T{number}"} for number in range(201)], 422),
    ],
    ids=str,
)
def test_a_payment_with_a_wrong_ticket_is_not_recorded(client, tickets, status):
    response = client.post("/payments", json=payment(amount=165, tickets=tickets))
    assert response.status_code == status
    if status == 422:
        assert list(response.json["errors"]["json"]) == ["tickets"]
        assert all(isinstance(line, str) for line in response.json["errors"]["json"]["tickets"])
    assert client.get("/payments").status_code == 204
    assert client.get(f"{LINKS}/by-ticket/T1").status_code == 204


def test_a_retry_with_tickets_pays_and_links_once(client, pay):
    headers = {"Idempotency-Key": "key-1"}
    first = pay("165.00", ("T1", "100.00"), headers=headers)
    second = pay("165.00", ("T1", "100.0"), headers=headers)
    assert (second.data, second.headers["Idempotency-Replayed"]) == (first.data, "true")
    assert pay("165.00", ("T1", "99.00"), headers=headers).status_code == 422
    assert len(client.get(f"{LINKS}/by-ticket/T1").json) == 1


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "key-1"}], ids=["no key", "key"])
def test_a_write_that_runs_again_links_its_tickets(client, pay, monkeypatch, headers):
    attempts, add = [], store.payments.add

    def fail_once(**values):
        attempts.append(values)
        if len(attempts) == 1:
            raise RetryWrite
        return add(**values)

    monkeypatch.setattr(store.payments, "add", fail_once)
    payment_id = pay("165.00", ("T1", "100.00"), headers=headers).json["id"]
    assert len(attempts) == 2
    assert [found["ticket_id"] for found in client.get(f"{LINKS}/by-payment/{payment_id}").json] == ["T1"]


def test_a_ticket_has_what_remains_of_its_total(client, pay):
    pay("165.00", ("T1", "100.00"), ("T2", "59.00"), tip=6)
    assert balance(client, "T1") == line("100.00")
    assert balance(client, "T1", f"currency_id={EUR}&total=120.00") == line("100.00", remaining="20.00")
    assert balance(client, "T2", f"currency_id={EUR}&total=50") == line("59.00", remaining="-9.00")


def test_a_ticket_without_payments_has_all_of_its_total_left(client):
    assert balance(client, "T1") is None
    assert balance(client, "T1", f"currency_id={EUR}") is None
    assert balance(client, "T1", f"currency_id={EUR}&total=52.40") == line(remaining="52.40")


def test_a_link_without_an_amount_counts_wholly_if_alone(client, pay):
    pay("60.00", ("A", None), tip=5)
    assert balance(client, "A") == line("55.00")


def test_links_without_amounts_of_several_tickets_are_unclear(client, pay):
    pay("60.00", ("A", None), ("B", None))
    assert balance(client, "A") == balance(client, "B") == line(unclear="60.00")


def test_what_shares_leave_is_unclear_for_the_other_tickets(client, pay):
    pay("60.00", ("A", None), ("B", "20.00"))
    assert balance(client, "A") == line(unclear="40.00")
    assert balance(client, "B") == line("20.00")


def test_balances_of_currencies_are_kept_apart(client, pay):
    pay("10.00", ("A", None))
    pay("0.5", ("A", None), currency_id=BTC)
    assert balance(client, "A") == line("10.00") + [
        {"currency": "BTC", "paid": "0.50000000", "refunded": "0.00000000", "unclear": "0.00000000"},
    ]
    assert len(balance(client, "A", f"currency_id={BTC}")) == 1


def test_refunds_count_for_the_ticket_that_they_name(client, pay):
    payment_id = pay("60.00", ("A", "20.00"), ("B", "40.00")).json["id"]
    refund(client, payment_id, "5.00", ticket_id="A")
    assert balance(client, "A", f"currency_id={EUR}&total=20") == line("20.00", "5.00", remaining="5.00")
    assert balance(client, "B") == line("40.00")


def test_a_refund_without_a_ticket_counts_for_the_only_one(client, pay):
    payment_id = pay("60.00", ("A", None), tip=5).json["id"]
    refund(client, payment_id, "10.00")
    assert balance(client, "A") == line("55.00", "10.00")
    refund(client, payment_id, "50.00")
    assert balance(client, "A") == line("55.00", "55.00")


def test_a_refund_that_names_none_of_several_tickets_is_unclear(client, pay):
    payment_id = pay("60.00", ("A", "20.00"), ("B", "40.00")).json["id"]
    refund(client, payment_id, "10.00")
    assert balance(client, "A") == line("20.00", unclear="10.00")
    assert balance(client, "B") == line("40.00", unclear="10.00")


def test_a_payment_moved_to_another_ticket_takes_its_refunds(client, pay, link):
    payment_id = pay("60.00", ("A", None)).json["id"]
    refund(client, payment_id, "10.00", ticket_id="A")
    client.delete(f"{LINKS}/by-ticket/A")
    link(payment_id, "B")
    assert balance(client, "A") is None
    assert balance(client, "B") == line("60.00", "10.00")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("total=5", "currency_id"),
        (f"currency_id={UNKNOWN}", "currency_id"),
        (f"currency_id={EUR}&total=0.001", "total"),
        (f"currency_id={EUR}&total=1e3", "total"),
        (f"currency_id={EUR}&total=-1", "total"),
        (f"currency_id={EUR}&total=", "total"),
        (f"currency_id={EUR}&total={'9' * 16}", "total"),
        ("currency_id=EUR", "currency_id"),
    ],
)
def test_an_invalid_balance_is_rejected_by_name(client, query, field):
    response = client.get(f"{LINKS}/balance/A?{query}")
    assert response.status_code == 422
    assert {location: list(fields) for location, fields in response.json["errors"].items()} == {"query": [field]}


def test_a_link_that_would_overpay_its_ticket_is_rejected(client, pay, add_payment):
    pay("165.00", ("T1", "100.00"))
    first, second = add_payment(amount=20), add_payment(amount=20)
    response = client.post(LINKS, json=share(first, "T1", "12.41", total="112.40"))
    assert (response.status_code, response.json["message"]) == (409, "This ticket has 12.40 left to pay.")
    assert link_share(client, first, "T1", "20.00", "120.00") == 201
    response = client.post(LINKS, json=share(second, "T1", "20.00", total="120.00"))
    assert (response.status_code, response.json["message"]) == (409, "This ticket has 0.00 left to pay.")
    assert link_share(client, second, "T1", "20.00") == 201


def test_the_guard_counts_a_whole_payment_without_its_tip(client, add_payment):
    payment_id = add_payment(amount=20, tip=2)
    assert link_share(client, payment_id, "T1", None, "17.99") == 409
    assert link_share(client, payment_id, "T1", None, "18.00") == 201
    assert link_share(client, payment_id, "T2", None, "18.00") == 422


def test_the_guard_counts_other_currencies_and_refunds(client, pay, add_payment):
    pay("1", ("T1", None), currency_id=BTC)
    payment_id = pay("20.00", ("T1", None)).json["id"]
    refund(client, payment_id, "5.00", method_id=CREDIT_CARD)
    second = add_payment(amount=20, method_id=CASH)
    assert link_share(client, second, "T1", "5.01", "20.00") == 409
    assert link_share(client, second, "T1", "5.00", "20.00") == 201


@on_one_engine
def test_a_share_of_zero_is_a_share(client, pay):
    payment_id = pay("60.00", ("A", "0"), ("B", "60.00")).json["id"]
    assert balance(client, "A") == line()
    assert client.get(f"{LINKS}/by-payment/{payment_id}").json[0]["share"] == 0
