"""The service inside another WSGI program"""
import stat

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from ..support.payments import ENCODER, payment
from ..support.guides import EMBEDDING, blocks, section
from ..support.rows import Rows
from ..support.tokens import SECRET, make_token

BODY = {"data": ENCODER.encode(payment()), "content_type": "application/json"}


def client_for(app):
    client = FlaskClient(app, use_cookies=False)
    client.environ_base["HTTP_COOKIE"] = f"accessToken={make_token()}"
    return client


@pytest.fixture
def program_client(make_app, new_database):
    """Mount two services, each on its own database, in another program."""
    program = Flask("till")
    program.add_url_rule("/", view_func=lambda: "the till")
    mounted = {"/pos": make_app(), "/bar": make_app(DATABASE_URL=new_database(migrated=True))}
    program.wsgi_app = DispatcherMiddleware(program.wsgi_app, mounted)
    return client_for(program)


def test_the_service_is_served_where_it_is_mounted(program_client):
    payment_id = program_client.post("/pos/payments", **BODY).get_json(force=True)["id"]
    assert program_client.get(f"/pos/payments/{payment_id}").status_code == 200
    assert program_client.get("/pos/health/ready").status_code == 200
    assert program_client.get("/").text == "the till"
    assert program_client.get("/payments").status_code == 404


def test_two_mounted_services_do_not_mix(program_client):
    assert program_client.post("/pos/payments", **BODY).status_code == 201
    assert program_client.get("/bar/payments").status_code == 204
    assert program_client.post("/bar/payments", **BODY).status_code == 201
    assert program_client.get("/pos/payments").status_code == 200
    for place in ("/pos", "/bar"):
        assert "payments_written_total 1.0" in program_client.get(f"{place}/metrics").text


def test_the_programs_own_responses_are_left_alone(program_client):
    response = program_client.get("/nowhere")
    assert response.content_type.startswith("text/html")
    assert "X-Request-Id" not in response.headers


def test_the_example_of_the_guide_mounts_the_service(tmp_path):
    (tmp_path / "jwt-secret").write_text(SECRET)
    (code,) = blocks(section(EMBEDDING, "Mount it"), "python")
    code = code.replace("/var/lib/till", str(tmp_path)).replace("/etc/till", str(tmp_path))
    names = {}
    exec(code, names)
    assert client_for(names["till"]).post("/pos/payments", **BODY).status_code == 201
    names["database"].close(names["payments"])
    assert stat.S_IMODE((tmp_path / "payments.db").stat().st_mode) == 0o600
    rows = Rows(f"sqlite:///{tmp_path}/payments.db")
    assert rows.all("SELECT count(*) FROM payment") == [(1,)]
    rows.connection.close()
