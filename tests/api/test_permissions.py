"""The permission of each operation, by the API page"""
import pytest
from flask.testing import FlaskClient

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.operations import OPERATIONS
from ..support.payments import NOBODY, payment
from ..support.tokens import PERMISSIONS, make_token

pytestmark = on_one_engine

each_operation = pytest.mark.parametrize(("method", "path", "permission"), OPERATIONS)


@each_operation
def test_the_documented_permission_is_enough(make_client, method, path, permission):
    response = make_client(permissions=[permission]).open(path, method=method, json=payment())
    assert response.status_code not in (401, 403)


@each_operation
def test_without_the_permission_the_response_names_it(make_client, method, path, permission):
    others = [other for other in PERMISSIONS if other != permission]
    response = make_client(permissions=others).open(path, method=method, json=payment())
    assert response.status_code == 403
    assert permission in response.json["message"]


@each_operation
def test_without_a_token_every_operation_gives_401(app, method, path, permission):
    assert app.test_client().open(path, method=method, json=payment()).status_code == 401


def test_a_write_without_permission_changes_nothing(client, make_client, add_payment, link):
    payment_id = add_payment(amount=1)
    link(payment_id, "ticket-1")
    reader = make_client(permissions=["payments_read"])
    links = "/payments/ticket-payments"
    for method, path, body in [
        ("POST", "/payments", payment()),
        ("PUT", f"/payments/{payment_id}", payment(amount=2)),
        ("DELETE", f"/payments/{payment_id}", None),
        ("POST", links, {"payment_id": payment_id, "ticket_id": "ticket-2"}),
        ("DELETE", f"{links}?paymentId={payment_id}&ticketId=ticket-1", None),
        ("DELETE", f"{links}/by-ticket/ticket-1", None),
    ]:
        assert reader.open(path, method=method, json=body).status_code == 403
    assert [stored["amount"] for stored in client.get("/payments").json] == [1]
    assert len(client.get(f"{links}/by-payment/{payment_id}").json) == 1


UNREADABLE = [
    ("POST", "/payments", {"data": "{", "content_type": "application/json"}),
    ("POST", "/payments", {"data": "amount=1", "content_type": "text/plain"}),
    ("GET", "/payments/payment-uuid-1", {}),
    ("PUT", "/payments/payment-uuid-1", {"data": "{", "content_type": "application/json"}),
    ("GET", "/payments/methods/method-uuid-1", {}),
    ("GET", "/payments/ticket-payments/by-ticket/%00", {}),
    ("GET", "/payments/methods%0a", {}),
    ("DELETE", "/payments/ticket-payments", {}),
    ("POST", "/payments", {"data": "x" * 70_000, "content_type": "application/json"}),
]


@pytest.mark.parametrize(("method", "path", "request_"), UNREADABLE)
def test_the_token_is_checked_before_body_path_and_query(app, make_client, method, path, request_):
    assert app.test_client().open(path, method=method, **request_).status_code == 401
    assert make_client(permissions=[]).open(path, method=method, **request_).status_code == 403


def test_an_unknown_path_needs_a_token(app, client):
    for path in ("/nothing", "/payments/", "/payments/a/b", "/payments//methods", "/payments/methods/"):
        assert app.test_client().get(path).status_code == 401
        response = client.get(path)
        assert response.status_code == 404
        assert response.json["code"] == 404


def test_a_method_that_a_path_does_not_support_gives_405(client):
    response = client.patch("/payments")
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_route_that_declares_no_permission_cannot_be_reached(make_app):
    app = make_app()
    app.add_url_rule("/forgotten", view_func=lambda: "reached")
    app.test_client_class = FlaskClient
    assert app.test_client().get("/forgotten").status_code == 401
    assert client_of(app, make_token()).get("/forgotten").status_code == 403


def test_a_role_grants_what_the_settings_map_it_to(make_app):
    app = make_app(ROLE_PERMISSIONS='{"cashier": ["payments_read", "payments_create"]}')

    def make_client(**claims):
        return client_of(app, make_token(**claims))

    assert make_client(role="cashier", permissions=None).get("/payments").status_code == 204
    assert make_client(role="cashier", permissions=None).delete(f"/payments/{NOBODY}").status_code == 403
    assert make_client(role="waiter", permissions=None).get("/payments").status_code == 403
    assert make_client(role="waiter", permissions=["payments_read"]).get("/payments").status_code == 204
    assert make_client(role="cashier", permissions=["payments_delete"]).delete(f"/payments/{NOBODY}").status_code == 404


def test_an_administrator_has_only_what_the_token_grants(make_client):
    assert make_client(isAdmin=True, role="admin", permissions=None).get("/payments").status_code == 403
