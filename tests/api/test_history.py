"""GET /payments/{id}/history: every change and deletion is recorded"""
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import peewee
import pytest

from payments_service import store

from ..support.history import history_of, steps, times_of
from ..support.payments import BTC, CREDIT_CARD, NOBODY, payment
from ..support.rows import stored

LINKS = "/payments/ticket-payments"


def test_a_new_payment_is_recorded_with_all_its_values(client):
    payment_id = client.post("/payments", json=payment()).json["id"]
    assert steps(client, payment_id) == [("created", None, payment() | {"id": payment_id})]


def test_a_change_is_recorded_with_the_values_before_and_after(client, add_payment):
    payment_id = add_payment(transaction_id="txn-1", amount=Decimal("45.50"))
    before = client.get(f"/payments/{payment_id}").json
    changed = payment(method_id=CREDIT_CARD, currency_id=BTC, transaction_id="txn-2", amount=Decimal("0.00000005"))
    client.put(f"/payments/{payment_id}", json=changed)
    assert steps(client, payment_id)[1:] == [("changed", before, changed | {"id": payment_id})]


def test_amounts_have_exactly_their_currencys_decimals(client, add_payment):
    payment_id = add_payment(amount=Decimal("45.5"))
    client.put(f"/payments/{payment_id}", json=payment(currency_id=BTC, amount=0))
    text = client.get(f"/payments/{payment_id}/history").text
    assert text.count('"amount":45.50}') == 2
    assert text.count('"amount":0.00000000}') == 1


def test_a_deleted_payment_keeps_its_history(client, add_payment):
    payment_id = add_payment()
    before = client.get(f"/payments/{payment_id}").json
    client.delete(f"/payments/{payment_id}")
    assert client.get(f"/payments/{payment_id}").status_code == 404
    assert steps(client, payment_id) == [("created", None, before), ("deleted", before, None)]


def test_linking_and_unlinking_are_recorded(client, add_payment, link):
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    client.delete(f"{LINKS}?paymentId={payment_id}&ticketId=ticket-1")
    ids = {"payment_id": payment_id, "ticket_id": "ticket-1"}
    assert steps(client, payment_id)[1:] == [("linked", None, ids), ("unlinked", ids, None)]


def test_unlinking_a_ticket_is_recorded_for_each_payment(client, add_payment, link):
    first, second, other = add_payment(), add_payment(), add_payment()
    for payment_id, ticket_id in [(first, "t-1"), (first, "t-2"), (second, "t-1"), (other, "t-2")]:
        link(payment_id, ticket_id)
    client.delete(f"{LINKS}/by-ticket/t-1")
    for payment_id in (first, second):
        assert steps(client, payment_id)[-1] == ("unlinked", {"payment_id": payment_id, "ticket_id": "t-1"}, None)
        assert [action for action, _, _ in steps(client, payment_id)].count("unlinked") == 1
    assert [action for action, _, _ in steps(client, other)] == ["created", "linked"]


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"userId": 12}, "12"),
        ({"userId": "ana"}, "ana"),
        ({"userId": None, "sub": "ana@example.com"}, "ana@example.com"),
        ({"userId": None, "sub": 7}, "7"),
        ({"userId": 12, "sub": "ana"}, "12"),
        ({"userId": "", "sub": "ana"}, "ana"),
        ({"userId": 0}, "0"),
        ({"userId": "ñ" * 255}, "ñ" * 255),
        ({"userId": None}, None),
    ],
    ids=ascii,
)
def test_the_user_of_an_entry_is_the_tokens_user(client, make_client, claims, user):
    payment_id = make_client(**claims).post("/payments", json=payment()).json["id"]
    assert [entry["user_id"] for entry in history_of(client, payment_id)] == [user]


def test_every_entry_has_its_own_user_and_request(client, make_client, add_payment):
    payment_id = add_payment()
    for number in (1, 2):
        headers = {"X-Request-Id": f"request-{number}"}
        make_client(userId=number).put(f"/payments/{payment_id}", json=payment(), headers=headers)
    entries = [(entry["user_id"], entry["request_id"]) for entry in history_of(client, payment_id)[1:]]
    assert entries == [("1", "request-1"), ("2", "request-2")]


def test_the_id_given_to_a_request_is_recorded(client):
    response = client.post("/payments", json=payment())
    assert history_of(client, response.json["id"])[0]["request_id"] == response.headers["X-Request-Id"]


def test_every_entry_has_its_moment_in_utc(client, add_payment, link):
    began = datetime.now(timezone.utc)
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    client.put(f"/payments/{payment_id}", json=payment())
    moments = [datetime.fromisoformat(entry["at"]) for entry in history_of(client, payment_id)]
    in_order = [began, *moments, datetime.now(timezone.utc)]
    assert in_order == sorted(in_order)
    assert {moment.utcoffset() for moment in moments} == {timedelta(0)}


def test_rejected_requests_leave_nothing_in_the_history(client, make_client, add_payment, link):
    payment_id = add_payment(transaction_id="txn-1")
    link(payment_id, "ticket-1")
    before = steps(client, payment_id)
    path, body = f"/payments/{payment_id}", {"payment_id": payment_id, "ticket_id": "ticket-1"}
    refused = [
        client.post("/payments", json=payment()),
        client.put(path, json=payment(amount=Decimal("0.001"))),
        client.put(path, json=payment(), headers={"If-Match": '"other"'}),
        client.delete(path),
        make_client(permissions=["payments_read"]).delete(path),
        client.post(LINKS, json=body),
        client.delete(f"{LINKS}?paymentId={payment_id}&ticketId=ticket-2"),
        client.delete(f"{LINKS}?paymentId={NOBODY}&ticketId=ticket-1"),
    ]
    assert [response.status_code for response in refused] == [409, 422, 412, 409, 403, 409, 404, 404]
    assert client.delete(f"{LINKS}/by-ticket/ticket-2").status_code == 204
    assert steps(client, payment_id) == before


def test_a_replayed_request_is_recorded_once(client):
    for _ in range(2):
        response = client.post("/payments", json=payment(), headers={"Idempotency-Key": "key-1"})
    assert len(history_of(client, response.json["id"])) == 1


def test_entries_keep_their_order_if_the_clock_is_set_back(client, add_payment, rows):
    payment_id = add_payment()
    entry = {"payment_id": stored(payment_id), "request_id": "request-1", "action": "deleted", "before": "{}"}
    rows.insert("history", entry | {"at": "2020-01-01 00:00:00.000000+00:00"})
    assert [action for action, _, _ in steps(client, payment_id)] == ["created", "deleted"]


def test_a_change_that_cannot_be_recorded_is_not_made(client, add_payment, link, rows, monkeypatch):
    linked, other = add_payment(), add_payment()
    link(linked, "ticket-1")

    def everything():
        tables = ["payment", "ticket_payment", "history", "posting", "idempotency_key"]
        return [rows.all(f"SELECT * FROM {table}") for table in tables]

    def fail(*_args, **_kwargs):
        raise peewee.OperationalError("the disk is full")

    before = everything()
    monkeypatch.setattr(store.history, "add", fail)
    for method, path, body, headers in [
        ("POST", "/payments", payment(), {}),
        ("POST", "/payments", payment(), {"Idempotency-Key": "key-1"}),
        ("PUT", f"/payments/{linked}", payment(), {}),
        ("DELETE", f"/payments/{other}", None, {}),
        ("POST", LINKS, {"payment_id": linked, "ticket_id": "ticket-2"}, {}),
        ("DELETE", f"{LINKS}?paymentId={linked}&ticketId=ticket-1", None, {}),
        ("DELETE", f"{LINKS}/by-ticket/ticket-1", None, {}),
    ]:
        assert client.open(path, method=method, json=body, headers=headers).status_code == 503
        assert everything() == before


@pytest.mark.parametrize("unknown", [NOBODY, "payment-uuid-1"])
def test_an_unknown_payment_has_no_history(client, add_payment, unknown):
    add_payment()
    assert client.get(f"/payments/{unknown}/history").status_code == 404


def test_a_payment_knows_when_it_was_made_and_last_changed(client, add_payment, link, rows):
    payment_id = add_payment()
    created, changed = times_of(rows, payment_id)
    assert created == changed
    assert created.utcoffset() is not None
    assert abs(created - datetime.now(timezone.utc)) < timedelta(minutes=1)
    client.put(f"/payments/{payment_id}", json=payment())
    link(payment_id, "ticket-1")
    created_after, changed_after = times_of(rows, payment_id)
    assert created_after == created < changed_after
    moments = [datetime.fromisoformat(entry["at"]) for entry in history_of(client, payment_id)]
    assert moments[:2] == [created_after, changed_after]
