"""The history: nothing is changed or deleted without a trace"""
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import peewee
import pytest

from payments_service import store

from .conftest import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, ID, NOBODY, Rows, payment, stored

LINKS = "/payments/ticket-payments"


def history_of(client, payment_id):
    response = client.get(f"/payments/{payment_id}/history")
    return response.json if response.status_code == 200 else []


def steps(client, payment_id):
    return [(entry["action"], entry["before"], entry["after"]) for entry in history_of(client, payment_id)]


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


def test_unlinking_a_whole_ticket_is_recorded_for_each_of_its_payments(client, add_payment, link):
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
def test_who_did_it_is_the_tokens_user(client, caller, claims, user):
    payment_id = caller(**claims).post("/payments", json=payment()).json["id"]
    assert [entry["user_id"] for entry in history_of(client, payment_id)] == [user]


def test_every_entry_has_its_own_user_and_request(client, caller, add_payment):
    payment_id = add_payment()
    for number in (1, 2):
        headers = {"X-Request-Id": f"request-{number}"}
        caller(userId=number).put(f"/payments/{payment_id}", json=payment(), headers=headers)
    entries = [(entry["user_id"], entry["request_id"]) for entry in history_of(client, payment_id)[1:]]
    assert entries == [("1", "request-1"), ("2", "request-2")]


def test_a_request_without_an_id_is_recorded_by_the_one_it_is_answered_with(client):
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


def test_what_was_refused_leaves_nothing_in_the_history(client, caller, add_payment, link):
    payment_id = add_payment(transaction_id="txn-1")
    link(payment_id, "ticket-1")
    before = steps(client, payment_id)
    path, body = f"/payments/{payment_id}", {"payment_id": payment_id, "ticket_id": "ticket-1"}
    refused = [
        client.post("/payments", json=payment()),
        client.put(path, json=payment(amount=Decimal("0.001"))),
        client.put(path, json=payment(), headers={"If-Match": '"other"'}),
        client.delete(path),
        caller(permissions=["payments_read"]).delete(path),
        client.post(LINKS, json=body),
        client.delete(f"{LINKS}?paymentId={payment_id}&ticketId=ticket-2"),
        client.delete(f"{LINKS}?paymentId={NOBODY}&ticketId=ticket-1"),
    ]
    assert [response.status_code for response in refused] == [409, 422, 412, 409, 403, 409, 404, 404]
    assert client.delete(f"{LINKS}/by-ticket/ticket-2").status_code == 204
    assert steps(client, payment_id) == before


def test_a_request_that_is_answered_again_is_recorded_once(client):
    for _ in range(2):
        response = client.post("/payments", json=payment(), headers={"Idempotency-Key": "key-1"})
    assert len(history_of(client, response.json["id"])) == 1


def test_entries_are_in_the_order_they_were_made_also_if_the_clock_went_back(client, add_payment, rows):
    payment_id = add_payment()
    entry = {"payment_id": stored(payment_id), "request_id": "request-1", "action": "deleted", "before": "{}"}
    rows.insert("history", entry | {"at": "2020-01-01 00:00:00.000000+00:00"})
    assert [action for action, _, _ in steps(client, payment_id)] == ["created", "deleted"]


def test_what_cannot_be_recorded_in_the_history_is_not_done(client, add_payment, link, rows, monkeypatch):
    linked, other = add_payment(), add_payment()
    link(linked, "ticket-1")

    def everything():
        tables = ["payment", "ticket_payment", "history", "idempotency_key"]
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
def test_a_payment_that_never_was_has_no_history(client, add_payment, unknown):
    add_payment()
    assert client.get(f"/payments/{unknown}/history").status_code == 404


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE history SET user_id = 'somebody else'",
        "UPDATE history SET after = '{}' WHERE action = 'created'",
        "DELETE FROM history",
        "DELETE FROM history WHERE action = 'created'",
    ],
)
def test_the_database_refuses_to_change_or_delete_history(client, add_payment, rows, sql):
    before = history_of(client, payment_id := add_payment())
    with pytest.raises(Rows.Refused):
        rows.execute(sql)
    assert history_of(client, payment_id) == before


def test_the_database_refuses_what_would_replace_all_history_or_a_row_of_it(client, add_payment, rows):
    before = history_of(client, payment_id := add_payment())
    columns = "INTO history (id, payment_id, at, request_id, action, after)"
    row = "SELECT id, payment_id, at, 'another', action, after FROM history"
    if rows.of_sqlite:
        refused = [f"INSERT OR REPLACE {columns} {row}", f"REPLACE {columns} {row}"]
    else:
        refused = ["TRUNCATE history", "TRUNCATE history CASCADE"]
    refused.append(f"INSERT {columns} {row} WHERE true ON CONFLICT (id) DO UPDATE SET request_id = 'another'")
    for sql in refused:
        with pytest.raises(Rows.Refused):
            rows.execute(sql)
    assert history_of(client, payment_id) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "paid"},
        {"action": None},
        {"payment_id": None},
        {"at": None},
        {"request_id": None},
        {"after": None},
        {"before": "{}"},
        {"action": "changed"},
        {"action": "deleted"},
    ],
    ids=str,
)
def test_an_entry_that_is_not_sound_is_refused(app, rows, changed):
    entry = {"payment_id": stored(ID), "at": "2026-01-01 00:00:00.000000+00:00", "request_id": "request-1"}
    entry |= {"action": "created", "before": None, "after": "{}"}
    rows.insert("history", entry)
    with pytest.raises(Rows.Refused):
        rows.insert("history", entry | changed)


def times_of(rows, payment_id):
    found = rows.execute("SELECT created_at, changed_at FROM payment WHERE id = ?", stored(payment_id)).fetchone()
    return [datetime.fromisoformat(moment) if rows.of_sqlite else moment for moment in found]


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


class Model:
    """What a history has to say, by what was answered to a random run of operations."""

    def __init__(self, client, seed):
        self.client, self.random = client, random.Random(seed)
        self.payments, self.links, self.histories = {}, set(), {}

    def body(self):
        currency, decimals = self.random.choice([(EUR, 2), (BTC, 8)])
        amount = Decimal(self.random.randrange(10**12)).scaleb(-decimals)
        method = self.random.choice([CASH, CREDIT_CARD, BITCOIN_LIGHTNING])
        return {"method_id": method, "currency_id": currency, "transaction_id": "", "amount": amount}

    def record(self, payment_id, action, before, after):
        self.histories[payment_id].append((action, before, after))

    def any_payment(self):
        return self.random.choice([*self.payments, NOBODY])

    def create(self):
        body = self.body() | {"transaction_id": self.random.choice(["", f"txn-{self.random.randrange(40)}"])}
        taken = body["transaction_id"] in [stored["transaction_id"] for stored in self.payments.values()]
        response = self.client.post("/payments", json=body)
        assert response.status_code == (409 if taken else 201)
        if not taken:
            payment_id = response.json["id"]
            body |= {"id": payment_id, "transaction_id": body["transaction_id"] or payment_id}
            self.payments[payment_id], self.histories[payment_id] = body, []
            self.record(payment_id, "created", None, body)

    def change(self):
        payment_id, body = self.any_payment(), self.body()
        response = self.client.put(f"/payments/{payment_id}", json=body)
        assert response.status_code == (200 if payment_id in self.payments else 404)
        if payment_id in self.payments:
            before = self.payments[payment_id]
            self.payments[payment_id] = before | body | {"transaction_id": before["transaction_id"]}
            self.record(payment_id, "changed", before, self.payments[payment_id])

    def delete(self):
        payment_id = self.any_payment()
        linked = any(payment_id == linked for linked, _ in self.links)
        expected = 404 if payment_id not in self.payments else 409 if linked else 204
        assert self.client.delete(f"/payments/{payment_id}").status_code == expected
        if expected == 204:
            self.record(payment_id, "deleted", self.payments.pop(payment_id), None)

    def link(self):
        payment_id, ticket_id = self.any_payment(), f"t-{self.random.randrange(5)}"
        values = {"payment_id": payment_id, "ticket_id": ticket_id}
        expected = 422 if payment_id not in self.payments else 409 if (payment_id, ticket_id) in self.links else 201
        assert self.client.post(LINKS, json=values).status_code == expected
        if expected == 201:
            self.links.add((payment_id, ticket_id))
            self.record(payment_id, "linked", None, values)

    def unlink(self):
        payment_id, ticket_id = self.any_payment(), f"t-{self.random.randrange(5)}"
        expected = 204 if (payment_id, ticket_id) in self.links else 404
        assert self.client.delete(f"{LINKS}?paymentId={payment_id}&ticketId={ticket_id}").status_code == expected
        if expected == 204:
            self.forget(payment_id, ticket_id)

    def unlink_all(self):
        ticket_id = f"t-{self.random.randrange(5)}"
        assert self.client.delete(f"{LINKS}/by-ticket/{ticket_id}").status_code == 204
        for payment_id in [linked for linked, ticket in self.links if ticket == ticket_id]:
            self.forget(payment_id, ticket_id)

    def forget(self, payment_id, ticket_id):
        self.links.remove((payment_id, ticket_id))
        self.record(payment_id, "unlinked", {"payment_id": payment_id, "ticket_id": ticket_id}, None)


@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_random_run_of_operations_the_history_is_what_was_done(client, rows, seed):
    model = Model(client, seed)
    for _ in range(200):
        model.random.choice(
            [model.create, model.create, model.change, model.delete, model.link, model.link, model.unlink] * 3
            + [model.unlink_all]
        )()
    assert model.histories
    for payment_id, expected in model.histories.items():
        assert steps(client, payment_id) == expected
    assert rows.all("SELECT count(*) FROM history") == [(sum(map(len, model.histories.values())),)]


def test_what_is_done_at_once_is_recorded_in_the_order_it_was_done(server):
    _, added = server.request("POST", "/payments", payment(transaction_id=""))
    path = f"/payments/{added['id']}"

    def change(amount):
        return server.request("PUT", path, payment(transaction_id="", amount=amount))[0]

    with ThreadPoolExecutor(6) as callers:
        assert set(callers.map(change, range(60))) == {200}
    _, entries = server.request("GET", f"{path}/history")
    assert len(entries) == 61
    for earlier, later in zip(entries, entries[1:]):
        assert later["before"] == earlier["after"]
    assert entries[-1]["after"] == server.request("GET", path)[1]
