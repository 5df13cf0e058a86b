"""Idempotency-Key: a retried request is executed once"""
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.payments import CASH, payment
from ..support.tokens import make_token

LINKS = "/payments/ticket-payments"
REPLAYED = "Idempotency-Replayed"


def post(client, body, key, path="/payments"):
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def count(client):
    response = client.get("/payments")
    return len(response.json) if response.status_code == 200 else 0


def test_a_repeated_request_gets_the_stored_response(client):
    first = post(client, payment(transaction_id=""), "key-1")
    second = post(client, payment(transaction_id=""), "key-1")
    assert (first.status_code, first.headers.get(REPLAYED)) == (201, None)
    assert (second.status_code, second.headers.get(REPLAYED)) == (201, "true")
    assert second.data == first.data
    assert second.content_type == first.content_type
    assert count(client) == 1


def test_the_same_link_again_gets_the_stored_answer(client, add_payment):
    body = {"payment_id": add_payment(), "ticket_id": "ticket-1"}
    first, second = (post(client, body, "key-1", LINKS) for _ in range(2))
    assert (first.status_code, first.headers.get(REPLAYED)) == (201, None)
    assert (second.status_code, second.headers.get(REPLAYED), second.data) == (201, "true", first.data)
    assert len(client.get(f"{LINKS}/by-ticket/ticket-1").json) == 1


def test_requests_without_or_with_another_key_each_pay(client):
    assert client.post("/payments", json=payment(transaction_id="")).status_code == 201
    assert client.post("/payments", json=payment(transaction_id="")).status_code == 201
    assert REPLAYED not in post(client, payment(transaction_id=""), "key-1").headers
    assert REPLAYED not in post(client, payment(transaction_id=""), "key-2").headers
    assert count(client) == 4


def test_a_key_with_another_body_is_rejected_and_pays_nothing(client):
    post(client, payment(transaction_id="", amount=1), "key-1")
    response = post(client, payment(transaction_id="", amount=2), "key-1")
    assert response.status_code == 422
    assert "Idempotency-Key" in response.json["message"]
    assert [listed["amount"] for listed in client.get("/payments").json] == [1]


@pytest.mark.parametrize(
    ("key", "again"),
    [("key-1", '"key-1"'), ('"a\\"b"', 'a"b'), ('"a\\\\b"', "a\\b"), ("!~", '"!~"'), ("x" * 255, f'"{"x" * 255}"')],
)
def test_quotes_around_a_key_are_not_part_of_it(client, key, again):
    assert REPLAYED not in post(client, payment(transaction_id=""), key).headers
    assert post(client, payment(transaction_id=""), again).headers[REPLAYED] == "true"


def test_keys_differ_by_case(client):
    assert REPLAYED not in post(client, payment(transaction_id=""), "key").headers
    assert REPLAYED not in post(client, payment(transaction_id=""), "KEY").headers


REFUSED = ["", '""', '"', "a b", '"a b"', "a\tb", '"a', '"a";b', '"a"b"', '"a\\b"', "ñ", "\x7f"]


@on_one_engine
@pytest.mark.parametrize("key", [*REFUSED, "x" * 256, f'"{"x" * 256}"'], ids=ascii)
@pytest.mark.parametrize("path", ["/payments", LINKS])
def test_an_invalid_idempotency_key_is_rejected(client, add_payment, path, key):
    body = payment() if path == "/payments" else {"payment_id": add_payment(), "ticket_id": "ticket-1"}
    before = count(client)
    response = post(client, body, key, path)
    assert response.status_code == 400
    assert list(response.json["errors"]["headers"]) == ["Idempotency-Key"]
    assert count(client) == before
    assert client.get(f"{LINKS}/by-ticket/ticket-1").status_code == 204


def test_a_key_belongs_to_its_user(make_client):
    users = [{"userId": 1}, {"userId": 2}, {"userId": None, "sub": "3"}, {"userId": None}]
    answers = [post(make_client(**claims), payment(transaction_id=""), "key-1") for claims in users]
    assert [REPLAYED in answer.headers for answer in answers] == [False] * 4
    assert len({answer.json["id"] for answer in answers}) == 4
    for claims, answer in zip(users, answers):
        # Another token of the same user, as after a refresh.
        again = post(make_client(**claims, exp=int(time.time()) + 99), payment(transaction_id=""), "key-1")
        assert (again.data, again.headers[REPLAYED]) == (answer.data, "true")


def test_a_key_belongs_to_its_path(client):
    payment_id = post(client, payment(), "key-1").json["id"]
    response = post(client, {"payment_id": payment_id, "ticket_id": "ticket-1"}, "key-1", LINKS)
    assert response.status_code == 201
    assert REPLAYED not in response.headers


def test_a_rejected_request_does_not_use_up_its_key(client, add_payment):
    holder = add_payment(transaction_id="txn-1")
    assert post(client, payment(), "key-1").status_code == 409
    assert post(client, payment(amount=Decimal("0.001")), "key-1").status_code == 422
    client.delete(f"/payments/{holder}")
    response = post(client, payment(), "key-1")
    assert (response.status_code, response.headers.get(REPLAYED)) == (201, None)
    assert post(client, payment(), "key-1").headers[REPLAYED] == "true"


def test_a_database_error_does_not_use_up_its_key(short_timeouts, client, rows):
    rows.lock()
    assert post(client, payment(transaction_id=""), "key-1").status_code == 503
    rows.unlock()
    assert REPLAYED not in post(client, payment(transaction_id=""), "key-1").headers
    assert count(client) == 1


def test_the_response_is_replayed_after_the_payment_is_deleted(client):
    first = post(client, payment(), "key-1")
    client.delete(f"/payments/{first.json['id']}")
    again = post(client, payment(), "key-1")
    assert (again.status_code, again.data) == (201, first.data)
    assert count(client) == 0


def test_a_retry_needs_a_valid_token_and_its_permission(make_client):
    assert post(make_client(userId=1), payment(), "key-1").status_code == 201
    assert post(make_client(userId=1, exp=1), payment(), "key-1").status_code == 401
    assert post(make_client(userId=1, permissions=["payments_read"]), payment(), "key-1").status_code == 403
    assert post(make_client(userId=1, permissions=["payments_create"]), payment(), "key-1").headers[REPLAYED] == "true"


def make_older(rows, **age):
    moment = datetime.now(timezone.utc) - timedelta(**age)
    rows.execute("UPDATE idempotency_key SET created_at = ?", moment.isoformat(sep=" ", timespec="microseconds"))


def test_a_key_is_kept_for_seven_days(client, rows):
    post(client, payment(transaction_id=""), "key-1")
    make_older(rows, days=6, hours=23)
    assert post(client, payment(transaction_id=""), "key-1").headers[REPLAYED] == "true"
    make_older(rows, days=7)
    response = post(client, payment(transaction_id="", amount=2), "key-1")
    assert (response.status_code, response.headers.get(REPLAYED)) == (201, None)
    assert post(client, payment(transaction_id="", amount=2), "key-1").headers[REPLAYED] == "true"
    assert count(client) == 2


def test_the_lifetime_of_keys_is_a_setting(make_app, rows):
    client = client_of(make_app(IDEMPOTENCY_DAYS=2), make_token())
    post(client, payment(transaction_id=""), "key-1")
    make_older(rows, days=1)
    assert post(client, payment(transaction_id=""), "key-1").headers[REPLAYED] == "true"
    make_older(rows, days=2)
    assert REPLAYED not in post(client, payment(transaction_id=""), "key-1").headers


def insert_keys(rows, *keys, **age):
    moment = (datetime.now(timezone.utc) - timedelta(**age)).isoformat(sep=" ", timespec="microseconds")
    columns = {"user_id": "12", "method": "POST", "path": "/payments", "body_sha256": "0" * 64, "status": 201}
    rows.insert("idempotency_key", *(columns | {"key": key, "answer": "{}", "created_at": moment} for key in keys))


def test_expired_keys_are_deleted_a_few_at_a_time(client, rows):
    insert_keys(rows, *(f"old-{number}" for number in range(25)), days=8)
    insert_keys(rows, *(f"new-{number}" for number in range(5)), days=6)
    kept = []
    for number in range(4):
        assert post(client, payment(transaction_id=""), f"key-{number}").status_code == 201
        keys = [key for key, in rows.all("SELECT key FROM idempotency_key")]
        kept.append(len([key for key in keys if key.startswith("old-")]))
    assert kept == [15, 5, 0, 0]
    assert len(keys) == 9


def test_the_body_of_a_request_is_not_stored(client, rows):
    post(client, payment(transaction_id="txn-of-a-guest"), "key-1")
    assert CASH not in str(rows.all("SELECT * FROM idempotency_key"))
    assert "txn-of-a-guest" not in str(rows.all("SELECT * FROM idempotency_key"))
