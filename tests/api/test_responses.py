"""Headers of every response"""
import re

import pytest

from ..support.engines import on_one_engine
from ..support.payments import payment

pytestmark = on_one_engine


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/payments", 204),
        ("GET", "/payments/methods", 200),
        ("POST", "/payments", 201),
        ("POST", "/payments/ticket-payments", 422),
        ("GET", "/nowhere", 404),
        ("PATCH", "/payments", 405),
        ("GET", "/openapi.json", 200),
    ],
)
def test_every_response_is_not_cached_and_has_a_request_id(client, method, path, code):
    response = client.open(path, method=method, json=payment() if method == "POST" else None)
    assert response.status_code == code
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-Id"])


def test_a_401_response_has_these_headers_too(app):
    response = app.test_client().get("/payments")
    assert response.status_code == 401
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Request-Id"]
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_each_request_has_an_id_of_its_own(client):
    assert len({client.get("/payments").headers["X-Request-Id"] for _ in range(5)}) == 5


def test_a_request_id_set_by_nginx_is_kept(client):
    response = client.get("/payments", headers={"X-Request-Id": "4b1c-77.till_2"})
    assert response.headers["X-Request-Id"] == "4b1c-77.till_2"


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a, b", "über", "<script>"])
def test_an_unsafe_request_id_is_replaced(client, sent):
    response = client.get("/payments", headers={"X-Request-Id": sent})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-Id"])
