"""Idempotency-Key: a retried request is executed once"""
import hashlib
import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from payments_service import store

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.payments import BTC, CASH, CREDIT_CARD, EUR, payment
from ..support.tokens import make_token

LINKS = "/payments/ticket-payments"
REPLAYED = "Idempotency-Replayed"


def post(client, body, key, path="/payments"):
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def post_text(client, text, key, path="/payments"):
    return client.post(path, data=text, content_type="application/json", headers={"Idempotency-Key": key})


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


def test_the_rejection_says_which_payment_the_key_recorded(client):
    payment_id = post(client, payment(transaction_id=""), "key-1").json["id"]
    message = post(client, payment(transaction_id="", amount=2), "key-1").json["message"]
    assert f"The payment {payment_id} is recorded under this Idempotency-Key" in message
    assert "take a new key" not in message


def test_the_rejection_says_which_link_the_key_recorded(client, add_payment):
    payment_id = add_payment()
    post(client, {"payment_id": payment_id, "ticket_id": "{ticket} 1"}, "key-1", LINKS)
    response = post(client, {"payment_id": payment_id, "ticket_id": "ticket-2"}, "key-1", LINKS)
    assert response.status_code == 422
    assert f"The link of the payment {payment_id} to the ticket {{ticket}} 1 is recorded" in response.json["message"]


SAME_PAYMENT = [
    f'{{"method_id": "{CASH}", "currency_id": "{EUR}", "transaction_id": "", "amount": 12.50}}',
    f'{{"amount": 12.50, "transaction_id": "", "currency_id": "{EUR}", "method_id": "{CASH}"}}',
    f'{{"method_id":"{CASH}","currency_id":"{EUR}","transaction_id":"","amount":12.5}}',
    f'{{"method_id": "{CASH}", "currency_id": "{EUR}", "transaction_id": "", "amount": 1250e-2}}',
    f'{{"method_id": "{CASH}", "currency_id": "{EUR}", "transaction_id": "", "amount": 12.5{"0" * 100}}}',
    f'{{"method_id": "{CASH.upper()}", "currency_id": "{EUR.upper()}", "transaction_id": "", "amount": 12.50}}',
    f'{{"method_id": "{CASH}", "currency_id": "{EUR}", "amount": 12.50}}',
    f'{{"method_id": "{CASH}", "currency_id": "{EUR}", "transaction_id": null, "amount": 12.50}}',
    f'{{"method_id": "{CASH}", "currency_id": "{EUR}", "transaction_id": " ", "amount": 12.50}}',
    f'\ufeff{{"method_id": "{CASH}", "currency_id": "{EUR}", "\\u0061mount": 12.50}}\n',
]


@pytest.mark.parametrize("again", SAME_PAYMENT, ids=range(len(SAME_PAYMENT)))
def test_a_retry_may_spell_the_same_payment_in_another_way(client, again):
    first = post_text(client, SAME_PAYMENT[0], "key-1")
    second = post_text(client, again, "key-1")
    assert (second.status_code, second.headers.get(REPLAYED), second.data) == (201, "true", first.data)
    third = post_text(client, SAME_PAYMENT[0], "key-1")
    assert third.data == first.data
    assert count(client) == 1


@on_one_engine
def test_zero_is_the_same_payment_however_it_is_spelled(client):
    spelled = [SAME_PAYMENT[0].replace("12.50", zero) for zero in ("0", "-0", "0.00", "-0.0e5")]
    assert {post_text(client, text, "key-1").status_code for text in spelled} == {201}
    assert count(client) == 1


def test_a_retry_may_spell_the_same_link_in_another_way(client, add_payment):
    payment_id = add_payment()
    first = post_text(client, f'{{"payment_id": "{payment_id}", "ticket_id": "a"}}', "key-1", LINKS)
    second = post_text(client, f'{{"ticket_id":"\\u0061", "payment_id":"{payment_id.upper()}"}}', "key-1", LINKS)
    assert (second.status_code, second.headers[REPLAYED], second.data) == (201, "true", first.data)


@pytest.mark.parametrize(
    "changed",
    [
        *({"amount": Decimal(amount)} for amount in ("12.51", "125", "1250", "0", f"12.5{'0' * 30}1")),
        {"method_id": CREDIT_CARD},
        {"currency_id": BTC},
        {"transaction_id": "txn-1"},
    ],
    ids=str,
)
def test_another_value_is_another_payment(client, changed):
    first = payment(transaction_id="", amount=Decimal("12.50"))
    assert post(client, first, "key-1").status_code == 201
    assert post(client, first | changed, "key-1").status_code == 422
    assert count(client) == 1


def test_a_key_that_version_1_2_stored_is_recognized(client, rows):
    first = post_text(client, SAME_PAYMENT[0], "key-1")
    rows.execute("UPDATE idempotency_key SET fingerprint = ?", hashlib.sha256(SAME_PAYMENT[0].encode()).hexdigest())
    again = post_text(client, SAME_PAYMENT[0], "key-1")
    assert (again.status_code, again.headers[REPLAYED], again.data) == (201, "true", first.data)
    assert post(client, payment(transaction_id="", amount=1), "key-1").status_code == 422
    assert count(client) == 1


@on_one_engine
def test_the_fingerprint_of_a_request_never_changes(client, rows):
    body = {"payment_id": post(client, payment(amount=Decimal("12.50")), "key-1").json["id"], "ticket_id": "t-1"}
    post(client, body, "key-2", LINKS)
    values = {"amount": "12.5", "currency_id": EUR, "method_id": CASH, "transaction_id": "txn-1"}
    texts = [json.dumps(value, separators=(",", ":"), sort_keys=True) for value in (values, body)]
    texts[0] = texts[0].replace('"12.5"', "12.5")
    expected = [(hashlib.sha256(text.encode()).hexdigest(),) for text in texts]
    assert rows.all("SELECT fingerprint FROM idempotency_key ORDER BY key") == expected


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


@on_one_engine
@pytest.mark.parametrize(
    "key",
    [
        *("undefined", "null", "NaN", "None", "nil", "true", "false", "Undefined", "NULL", '"undefined"', '"null"'),
        *("(null)", "<null>", "<nil>", "[]", "{}", "()", "[object", "%5Bobject%20Object%5D", "'null'", "`undefined`"),
        *("till-3-undefined", "undefined-7", "order_null", "NaN:12", "a=undefined&b=2", "pay/None/1"),
        *("${key}", "till-${order}", "{{$guid}}", "{{key}}", "$IDEMPOTENCY_KEY", "<your-key>"),
        *("00000000-0000-0000-0000-000000000000", "0" * 32, "{00000000-0000-0000-0000-000000000000}"),
    ],
)
def test_a_missing_value_is_no_key(client, key):
    response = post(client, payment(transaction_id=""), key)
    assert response.status_code == 400
    (message,) = response.json["errors"]["headers"]["Idempotency-Key"]
    assert "missing" in message or "visible ASCII" in message
    assert count(client) == 0


@on_one_engine
@pytest.mark.parametrize(
    "key",
    [
        *("0", "1", "-", "none-of-your-business", "nullable", "annullation", "undefined1", "Xnull", "banana"),
        *("{3f2504e0-4f89-11d3-9a0c-0305e82c3301}", "00000000-0000-0000-0000-000000000001", "a$b", "till-3-none"),
    ],
)
def test_a_key_may_resemble_a_missing_value(client, key):
    assert post(client, payment(transaction_id=""), key).status_code == 201


def test_all_users_share_a_key(make_client):
    users = [{"userId": 1}, {"userId": 2}, {"userId": None, "sub": "3"}, {"userId": None}, {"userId": 1, "role": "x"}]
    answers = [post(make_client(**claims), payment(transaction_id=""), "key-1") for claims in users]
    assert [answer.status_code for answer in answers] == [201] * 5
    assert [REPLAYED in answer.headers for answer in answers] == [False, True, True, True, True]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert post(make_client(userId=2), payment(transaction_id="", amount=1), "key-1").status_code == 422


def test_the_history_names_the_user_of_the_first_request(make_client):
    for user in (1, 2):
        payment_id = post(make_client(userId=user), payment(transaction_id=""), "key-1").json["id"]
    entries = make_client().get(f"/payments/{payment_id}/history").json
    assert [(entry["user_id"], entry["action"]) for entry in entries] == [("1", "created")]


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
    assert post(make_client(userId=2, permissions=["payments_read"]), payment(), "key-1").status_code == 403
    assert post(make_client(userId=1, permissions=["payments_create"]), payment(), "key-1").headers[REPLAYED] == "true"


def make_older(rows, **age):
    moment = datetime.now(timezone.utc) - timedelta(**age)
    rows.execute("UPDATE idempotency_key SET created_at = ?", moment.isoformat(sep=" ", timespec="microseconds"))


@pytest.mark.parametrize("age", [{"days": 8}, {"days": 24}, {"days": 4000}, {"days": -400}, {"days": 0}], ids=str)
def test_a_retry_is_recognized_whatever_the_clock_said(client, rows, age):
    first = post(client, payment(transaction_id=""), "key-1")
    make_older(rows, **age)
    again = post(client, payment(transaction_id=""), "key-1")
    assert (again.headers.get(REPLAYED), again.data) == ("true", first.data)
    assert post(client, payment(transaction_id="", amount=2), "key-1").status_code == 422
    # Keys are deleted with new ones.
    assert REPLAYED not in post(client, payment(transaction_id=""), "key-2").headers
    assert post(client, payment(transaction_id=""), "key-1").data == first.data
    assert count(client) == 2


def insert_keys(rows, *keys, first_number=1, **age):
    moment = (datetime.now(timezone.utc) - timedelta(**age)).isoformat(sep=" ", timespec="microseconds")
    columns = {"method": "POST", "path": "/payments", "fingerprint": "0" * 64, "status": 201, "created_at": moment}
    columns["answer"] = '{"id":"1"}'
    rows.insert(
        "idempotency_key",
        *(columns | {"key": key, "number": number} for number, key in enumerate(keys, first_number)),
    )


def keys_of(rows):
    return [key for key, in rows.all("SELECT key FROM idempotency_key ORDER BY number, key")]


def test_the_newest_10000_keys_are_kept_whatever_their_age(client, rows):
    insert_keys(rows, *(f"old-{number}" for number in range(10_003)), days=800)
    assert post(client, payment(transaction_id=""), "key-1").status_code == 201
    kept = keys_of(rows)
    assert len(kept) == 10_000
    assert (kept[0], kept[-2:]) == ("old-4", ["old-10002", "key-1"])


@pytest.fixture
def few_kept_keys(monkeypatch):
    """Let the newest five keys be kept whatever their age."""
    monkeypatch.setattr(store.idempotency, "MIN_KEPT_KEYS", 5)


def test_a_key_is_kept_for_seven_days(few_kept_keys, client, rows):
    insert_keys(rows, *(f"old-{number}" for number in range(10)), days=6, hours=23)
    post(client, payment(transaction_id=""), "key-1")
    assert len(keys_of(rows)) == 11
    make_older(rows, days=7)
    post(client, payment(transaction_id=""), "key-2")
    assert keys_of(rows) == ["old-7", "old-8", "old-9", "key-1", "key-2"]


def test_the_lifetime_of_keys_is_a_setting(few_kept_keys, make_app, rows):
    client = client_of(make_app(IDEMPOTENCY_DAYS=2), make_token())
    insert_keys(rows, *(f"old-{number}" for number in range(10)), days=1)
    post(client, payment(transaction_id=""), "key-1")
    assert len(keys_of(rows)) == 11
    make_older(rows, days=2)
    post(client, payment(transaction_id=""), "key-2")
    assert len(keys_of(rows)) == 5


def test_expired_keys_are_deleted_a_few_at_a_time(few_kept_keys, client, rows):
    insert_keys(rows, *(f"old-{number:02}" for number in range(25)), days=8)
    insert_keys(rows, *(f"new-{number}" for number in range(5)), first_number=26, days=6)
    kept = []
    for number in range(4):
        assert post(client, payment(transaction_id=""), f"key-{number}").status_code == 201
        kept.append(len([key for key in keys_of(rows) if key.startswith("old-")]))
    assert kept == [15, 5, 0, 0]
    assert len(keys_of(rows)) == 9


def test_keys_from_the_future_do_not_stay_forever(few_kept_keys, client, rows):
    insert_keys(rows, *(f"ahead-{number}" for number in range(3)), days=-365)
    insert_keys(rows, *(f"old-{number}" for number in range(10)), first_number=4, days=8)
    post(client, payment(transaction_id=""), "key-1")
    assert keys_of(rows) == ["old-6", "old-7", "old-8", "old-9", "key-1"]


def test_a_clock_a_year_ahead_removes_no_live_key(client, rows):
    for number in range(30):
        post(client, payment(transaction_id=""), f"key-{number}")
    # For the clock of the next three payments, these are a year old.
    make_older(rows, days=365)
    for number in range(3):
        post(client, payment(transaction_id=""), f"ahead-{number}")
    assert len(keys_of(rows)) == 33
    assert post(client, payment(transaction_id=""), "key-0").headers[REPLAYED] == "true"


def test_the_body_of_a_request_is_not_stored(client, rows):
    post(client, payment(transaction_id="txn-of-a-guest"), "key-1")
    assert CASH not in str(rows.all("SELECT * FROM idempotency_key"))
    assert "txn-of-a-guest" not in str(rows.all("SELECT * FROM idempotency_key"))
