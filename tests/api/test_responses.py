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


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/payments", 204),
        ("HEAD", "/payments", 204),
        ("DELETE", "/payments/{id}", 204),
        ("GET", "/payments/{id}/304", 304),
        ("OPTIONS", "/payments", 200),
        ("OPTIONS", "/docs", 200),
    ],
)
def test_a_response_without_a_body_has_no_content_type(app, client, method, path, code):
    headers = {}
    if "{id}" in path:
        created = client.post("/payments", json=payment())
        path = path.format(id=created.json["id"])
    if code == 304:
        path, headers = path.removesuffix("/304"), {"If-None-Match": created.headers["ETag"]}
    response = client.open(path, method=method, headers=headers)
    assert (response.status_code, response.data) == (code, b"")
    assert "Content-Type" not in response.headers


def test_the_response_to_head_has_the_type_of_that_to_get(client):
    for path in ("/payments/methods", "/openapi.json"):
        assert client.head(path).headers["Content-Type"] == client.get(path).headers["Content-Type"]


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
