"""ETag, If-Match and If-None-Match: no change overwrites another one"""
from decimal import Decimal

import pytest

from ..support.payments import NOBODY, etag_of, payment


def change(client, payment_id, amount, **headers):
    body = payment(transaction_id="", amount=amount)
    return client.put(f"/payments/{payment_id}", json=body, headers=headers)


def test_a_payment_has_an_etag_that_changes_when_it_changes(client, add_payment):
    payment_id = add_payment()
    etags = [etag_of(client, payment_id)]
    for amount in (1, 2):
        assert change(client, payment_id, amount).status_code == 200
        etags.append(etag_of(client, payment_id))
    assert len(set(etags)) == 3
    assert all(etag.startswith('"') and etag.endswith('"') for etag in etags)


def test_the_etag_of_a_new_payment_allows_its_first_change(client):
    created = client.post("/payments", json=payment())
    etag = created.headers["ETag"]
    assert etag == etag_of(client, created.json["id"])
    assert change(client, created.json["id"], 2, **{"If-Match": etag}).status_code == 200


def test_the_etag_of_each_change_allows_the_next_one(client, add_payment):
    payment_id = add_payment()
    etag = etag_of(client, payment_id)
    for amount in (1, 2, 3):
        changed = change(client, payment_id, amount, **{"If-Match": etag})
        assert changed.status_code == 200
        etag = changed.headers["ETag"]
    assert etag == etag_of(client, payment_id)


def test_the_etag_stays_while_the_payment_does(client, add_payment, link):
    payment_id = add_payment()
    etag = etag_of(client, payment_id)
    link(payment_id, "ticket-1")
    assert change(client, payment_id, Decimal("0.001")).status_code == 422
    assert client.delete(f"/payments/{payment_id}").status_code == 409
    change(client, add_payment(), 5)
    assert etag_of(client, payment_id) == etag
    assert client.head(f"/payments/{payment_id}").headers["ETag"] == etag


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_payment_the_client_has_cached_gives_304(client, add_payment, form):
    payment_id = add_payment()
    etag = etag_of(client, payment_id)
    response = client.get(f"/payments/{payment_id}", headers={"If-None-Match": form.format(etag)})
    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == etag


@pytest.mark.parametrize("changed", [False, True])
def test_a_payment_the_client_has_not_cached_is_sent(client, add_payment, changed):
    payment_id = add_payment()
    etag = etag_of(client, payment_id) if changed else '"other"'
    change(client, payment_id, 2)
    response = client.get(f"/payments/{payment_id}", headers={"If-None-Match": etag})
    assert response.status_code == 200
    assert response.json["amount"] == 2


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*"])
def test_the_version_that_was_read_can_be_changed_and_deleted(client, add_payment, form):
    payment_id = add_payment()
    assert change(client, payment_id, 2, **{"If-Match": form.format(etag_of(client, payment_id))}).status_code == 200
    headers = {"If-Match": form.format(etag_of(client, payment_id))}
    assert client.delete(f"/payments/{payment_id}", headers=headers).status_code == 204


# Weak ETags never match here: RFC 9110, section 13.1.1.
@pytest.mark.parametrize("form", ["{old}", "W/{current}", '"other"', '"1", "other"', '"', ""])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_outdated_etag_is_rejected_with_the_current_one(client, add_payment, method, form):
    payment_id = add_payment(amount=1)
    old = etag_of(client, payment_id)
    change(client, payment_id, 2)
    current = etag_of(client, payment_id)
    headers = {"If-Match": form.format(old=old, current=current)}
    response = client.open(f"/payments/{payment_id}", method=method, json=payment(amount=3), headers=headers)
    assert response.status_code == 412
    assert response.json["code"] == 412
    assert response.headers["ETag"] == current
    assert client.get(f"/payments/{payment_id}").json["amount"] == 2
    assert etag_of(client, payment_id) == current


def test_without_if_match_all_changes_are_made(client, add_payment):
    payment_id = add_payment()
    assert [change(client, payment_id, amount).status_code for amount in (1, 2, 3)] == [200] * 3
    assert client.delete(f"/payments/{payment_id}").status_code == 204


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unknown_payment_is_not_found_whatever_if_match_says(client, method):
    response = client.open(f"/payments/{NOBODY}", method=method, json=payment(), headers={"If-Match": "*"})
    assert response.status_code == 404


def test_the_version_is_checked_before_other_errors(client, add_payment, link):
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    headers = {"If-Match": '"other"'}
    assert client.delete(f"/payments/{payment_id}", headers=headers).status_code == 412
    assert change(client, payment_id, Decimal("0.001"), **headers).status_code == 412
