"""A list of many payments: it is sent while it is read"""
import json

import pytest
from flask.testing import FlaskClient

from payments_service.blueprints import payments
from payments_service.web.streaming import ResponseCutOff

from ..support.payments import ID
from ..support.tokens import make_token


@pytest.fixture
def short_pages(monkeypatch):
    """Let a list be sent two payments at a time."""
    monkeypatch.setattr(payments, "MAX_PAYMENTS_IN_MEMORY", 2)


@pytest.fixture
def parts(short_pages, app, add_payment):
    """Record five payments; return an answer with them, of which only the first part is read, and their ids."""
    ids = [add_payment() for _ in range(5)]
    # Another client would read it all.
    reader = FlaskClient(app, app.response_class, use_cookies=False)
    response = reader.get("/payments", headers={"Cookie": f"accessToken={make_token()}"})
    assert response.status_code == 200
    return response.iter_encoded(), ids


def text_of(parts):
    return b"".join(parts).decode()


def test_a_list_in_parts_is_the_list_at_once(parts, client, monkeypatch):
    monkeypatch.setattr(payments, "MAX_PAYMENTS_IN_MEMORY", 2000)
    assert text_of(parts[0]) == client.get("/payments").text


def test_payments_recorded_during_a_list_displace_none(parts, add_payment, insert_payments):
    texts, ids = parts
    first = next(texts)
    # By hand, with an id before all others.
    insert_payments({"id": ID, "transaction_id": ID})
    later = add_payment()
    assert [listed["id"] for listed in json.loads(first + b"".join(texts))] == [*ids, later]


def test_a_payment_deleted_during_a_list_does_not_end_it(parts, client):
    texts, ids = parts
    first = next(texts)
    for gone in ids[1:3]:
        client.delete(f"/payments/{gone}")
    assert [listed["id"] for listed in json.loads(first + b"".join(texts))] == [*ids[:2], *ids[3:]]


def test_a_list_whose_rest_is_deleted_meanwhile_is_valid(parts, client):
    texts, ids = parts
    first = next(texts)
    for gone in ids[2:]:
        client.delete(f"/payments/{gone}")
    assert [listed["id"] for listed in json.loads(first + b"".join(texts))] == ids[:2]


def test_no_connection_is_kept_while_a_part_is_sent(parts, app):
    pool = app.extensions["payments"].database
    for _ in parts[0]:
        assert not pool._in_use


def test_a_list_cut_off_by_a_database_error_is_not_valid_json(parts, app, rows):
    texts, _ = parts
    sent = [next(texts)]
    rows.execute("ALTER TABLE payment RENAME TO moved")
    with pytest.raises(ResponseCutOff):
        sent += texts
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"".join(sent))


def test_a_list_cut_off_is_counted_and_returns_its_connection(parts, app, rows):
    texts, _ = parts
    rows.execute("ALTER TABLE payment RENAME TO moved")
    with pytest.raises(ResponseCutOff):
        list(texts)
    pool = app.extensions["payments"].database
    assert not pool._in_use
    assert "payments_database_errors_total 1" in app.test_client().get("/metrics").text


@pytest.fixture
def lists(short_pages, make_app, add_payment):
    """Begin to read long lists of a service with four threads, each as a client that has read nothing yet."""
    reader = FlaskClient(make_app(THREADS=4), use_cookies=False)
    for _ in range(3):
        add_payment()
    headers = {"Cookie": f"accessToken={make_token()}"}
    return lambda method="GET": reader.open("/payments", method=method, headers=headers)


def test_long_lists_use_at_most_half_of_the_threads(lists):
    under_way = [lists(), lists()]
    refused = lists()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert refused.json["message"].startswith("Other long lists are being sent: try again")
    assert [len(response.json) for response in under_way] == [3, 3]
    for response in under_way:
        response.close()
    assert lists().status_code == 200


def test_an_aborted_long_list_makes_room_for_another(lists):
    for method in ("GET", "HEAD") * 3:
        response = lists(method)
        assert response.status_code == 200
        response.close()
