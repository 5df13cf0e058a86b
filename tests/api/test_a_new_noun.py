"""What a noun gets that is added beside the others"""
import pytest
from flask.testing import FlaskClient
from marshmallow import Schema, fields

from payments_service.errors import Conflict
from payments_service.tokens.permissions import Permission
from payments_service.web.blueprint import Blueprint

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.payments import NOBODY
from ..support.tokens import make_token

pytestmark = on_one_engine


class VoucherSchema(Schema):
    """A body of the new noun."""

    reason = fields.String(required=True)


class AlreadyRedeemed(Conflict):
    """An error of the new noun."""


@pytest.fixture
def client(make_app):
    """Make a client of an application with `/payments/vouchers`."""
    app = make_app()
    blp = Blueprint("vouchers", __name__, url_prefix="/payments/vouchers")

    @blp.route("", methods=["GET"], permission=Permission.READ)
    @blp.response(200)
    def list_vouchers():
        return []

    @blp.route("", methods=["POST"], permission=Permission.CREATE)
    @blp.arguments(VoucherSchema())
    @blp.response(201)
    def add_voucher(voucher):
        raise AlreadyRedeemed(voucher["reason"])

    app.register_blueprint(blp)
    app.test_client_class = FlaskClient
    return client_of(app, make_token())


def test_its_path_is_not_an_id_of_a_payment(client):
    assert client.get("/payments/vouchers").json == []


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_its_path_rejects_other_methods_with_405(client, method):
    response = client.open("/payments/vouchers", method=method, json={})
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize("word", ["voucher", "vouchers2", "history", NOBODY])
def test_other_words_beside_it_are_ids_of_payments(client, word):
    response = client.delete(f"/payments/{word}")
    assert (response.status_code, response.json["message"]) == (404, "There is no payment with this id.")


def test_its_errors_have_the_status_of_their_base_class(client):
    response = client.post("/payments/vouchers", json={"reason": "cold soup"})
    assert (response.status_code, response.json["message"]) == (409, "cold soup")


def test_its_schema_may_be_an_instance(client):
    response = client.post("/payments/vouchers", json={})
    assert (response.status_code, list(response.json["errors"]["json"])) == (422, ["reason"])


def test_its_permission_is_checked(app, client):
    assert client_of(app, make_token(permissions=[])).get("/payments/vouchers").status_code == 403
