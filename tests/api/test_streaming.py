"""Long lists: the service sends them in parts"""
import json

import pytest
from flask.testing import FlaskClient

from payments_service.web import streaming
from payments_service.web.streaming import ResponseCutOff

from ..support.payments import ID
from ..support.tokens import make_token


@pytest.fixture
def short_pages(monkeypatch):
    """Send lists in parts of two payments."""
    monkeypatch.setattr(streaming, "MAX_ITEMS_IN_MEMORY", 2)


@pytest.fixture
def list_in_parts(short_pages, app, add_payment):
    """Record five payments. Return a response with them, whose first part is read, and their ids."""
    ids = [add_payment() for _ in range(5)]
    # Another client would read the whole response.
    reader = FlaskClient(app, app.response_class, use_cookies=False)
    response = reader.get("/payments", headers={"Cookie": f"accessToken={make_token()}"})
    assert response.status_code == 200
    return response.iter_encoded(), ids


def text_of(parts):
    return b"".join(parts).decode()


def test_a_list_in_parts_is_the_list_at_once(list_in_parts, client, monkeypatch):
    monkeypatch.setattr(streaming, "MAX_ITEMS_IN_MEMORY", 2000)
    assert text_of(list_in_parts[0]) == client.get("/payments").text


def test_payments_recorded_during_a_list_displace_none(list_in_parts, add_payment, insert_payments):
    texts, ids = list_in_parts
    first = next(texts)
    # Inserted, to have an id before all others.
    insert_payments({"id": ID, "transaction_id": ID})
    later = add_payment()
    assert [listed["id"] for listed in json.loads(first + b"".join(texts))] == [*ids, later]


def test_a_payment_deleted_during_a_list_does_not_end_it(list_in_parts, client):
    texts, ids = list_in_parts
    first = next(texts)
    for gone in ids[1:3]:
        client.delete(f"/payments/{gone}")
    assert [listed["id"] for listed in json.loads(first + b"".join(texts))] == [*ids[:2], *ids[3:]]


def test_a_list_whose_rest_is_deleted_meanwhile_is_valid(list_in_parts, client):
    texts, ids = list_in_parts
    first = next(texts)
    for gone in ids[2:]:
        client.delete(f"/payments/{gone}")
    assert [listed["id"] for listed in json.loads(first + b"".join(texts))] == ids[:2]


def test_no_connection_is_kept_while_a_part_is_sent(list_in_parts, app):
    pool = app.extensions["payments"].database
    for _ in list_in_parts[0]:
        assert not pool._in_use


def test_a_list_cut_off_by_a_database_error_is_not_valid_json(list_in_parts, app, rows):
    texts, _ = list_in_parts
    sent = [next(texts)]
    rows.execute("ALTER TABLE payment RENAME TO moved")
    with pytest.raises(ResponseCutOff):
        sent += texts
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"".join(sent))


def test_a_list_cut_off_is_counted_and_returns_its_connection(list_in_parts, app, rows):
    texts, _ = list_in_parts
    rows.execute("ALTER TABLE payment RENAME TO moved")
    with pytest.raises(ResponseCutOff):
        list(texts)
    pool = app.extensions["payments"].database
    assert not pool._in_use
    assert "payments_database_errors_total 1" in app.test_client().get("/metrics").text


@pytest.fixture
def start_list(short_pages, make_app, add_payment):
    """Start responses with long lists, of a service with four threads, of which nothing is read yet."""
    reader = FlaskClient(make_app(THREADS=4), use_cookies=False)
    for _ in range(3):
        add_payment()
    headers = {"Cookie": f"accessToken={make_token()}"}
    return lambda method="GET": reader.open("/payments", method=method, headers=headers)


def test_long_lists_use_at_most_half_of_the_threads(start_list):
    under_way = [start_list(), start_list()]
    refused = start_list()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert refused.json["message"].startswith("Other long lists are being sent: try again")
    assert [len(response.json) for response in under_way] == [3, 3]
    for response in under_way:
        response.close()
    assert start_list().status_code == 200


def test_an_aborted_long_list_makes_room_for_another(start_list):
    for method in ("GET", "HEAD") * 3:
        response = start_list(method)
        assert response.status_code == 200
        response.close()
