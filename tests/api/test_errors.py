"""Unexpected exceptions"""
from flask.testing import FlaskClient

from payments_service.web.blueprint import PUBLIC

from ..support.engines import on_one_engine

pytestmark = on_one_engine


def test_an_unexpected_exception_gives_500_and_is_logged(make_app, caplog):
    def fail():
        raise ZeroDivisionError("a secret of the inside")

    fail.permission = PUBLIC
    app = make_app()
    app.add_url_rule("/fail", view_func=fail)
    app.test_client_class = FlaskClient
    response = app.test_client().get("/fail")
    assert response.status_code == 500
    assert response.json["code"] == 500
    assert "inside" not in response.text
    assert "ZeroDivisionError: a secret of the inside" in caplog.text
