"""GET /payments/methods and /payments/currencies, and GET of one of each"""
import re

import pytest

from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, NOBODY


def test_a_new_installation_has_four_methods(client):
    response = client.get("/payments/methods")
    assert response.status_code == 200
    assert response.json == [
        {"id": CASH, "name": "Cash"},
        {"id": CREDIT_CARD, "name": "Credit Card"},
        {"id": "01950000-0000-7000-8000-000000000003", "name": "Debit Card"},
        {"id": BITCOIN_LIGHTNING, "name": "Bitcoin Lightning"},
    ]


def test_a_new_installation_has_four_currencies(client):
    response = client.get("/payments/currencies")
    assert response.status_code == 200
    assert response.json == [
        {"id": EUR, "acronym": "EUR"},
        {"id": "01950000-0000-7000-8000-000000000102", "acronym": "USD"},
        {"id": "01950000-0000-7000-8000-000000000103", "acronym": "MXN"},
        {"id": BTC, "acronym": "BTC"},
    ]


@pytest.mark.parametrize("path", ["/payments/methods", "/payments/currencies"])
def test_each_is_read_alone_as_it_is_listed(client, path):
    for listed in client.get(path).json:
        response = client.get(f"{path}/{listed['id'].upper()}")
        assert (response.status_code, response.json) == (200, listed)


@pytest.mark.parametrize("path", ["/payments/methods", "/payments/currencies"])
@pytest.mark.parametrize("unknown", [NOBODY, "method-uuid-1"])
def test_an_id_that_names_nothing_is_not_found(client, path, unknown):
    assert client.get(f"{path}/{unknown}").status_code == 404


@pytest.mark.parametrize("noun", ["method", "currency"])
def test_an_empty_list_gives_204_without_a_body(client, rows, noun):
    rows.execute(f"DELETE FROM {noun}")
    response = client.get({"method": "/payments/methods", "currency": "/payments/currencies"}[noun])
    assert (response.status_code, response.data) == (204, b"")


def test_paths_beside_a_payment_are_not_read_as_its_id(app, client):
    beside = {rule.rule for rule in app.url_map.iter_rules() if re.fullmatch(r"/payments/[\w-]+", rule.rule)}
    assert beside >= {"/payments/methods", "/payments/currencies", "/payments/ticket-payments"}
    for path in beside:
        assert client.put(path, json={}).status_code == 405
