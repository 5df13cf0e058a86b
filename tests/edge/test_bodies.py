"""Bodies that are not JSON, or not acceptable JSON"""
import pytest

from ..support.engines import on_one_engine
from ..support.payments import CASH, EUR, NOBODY

pytestmark = on_one_engine

# From the messages of Python's json, codecs and decimal.
WORDS_OF_PYTHON = ["char ", "Expecting", "Extra data", "delimiter", "Invalid", "codec", "decimal.", "Unexpected"]

GOOD = f'{{"method_id": "{CASH}", "currency_id": "{EUR}", "transaction_id": "txn-1", "amount": 1}}'


def post(client, body, content_type="application/json"):
    return client.post("/payments", data=body, content_type=content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        GOOD[:-1],
        GOOD + "}",
        GOOD.replace('"', "'"),
        GOOD.replace("txn-1", "txn-\n"),
        GOOD.replace("}", ",}"),
        GOOD.encode().replace(b"txn-1", b"txn-\xff"),
        GOOD.encode("utf-16"),
        GOOD.encode("utf-16-le"),
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf" * 2 + GOOD.encode(),
        GOOD.encode("utf-8-sig")[1:],
        GOOD.encode("utf-32"),
        GOOD.replace("1}", "NaN}"),
        GOOD.replace("1}", "Infinity}"),
        GOOD.replace("1}", "-Infinity}"),
        GOOD.replace("1}", "01}"),
        GOOD.replace("1}", "+1}"),
        GOOD.replace("1}", ".5}"),
        GOOD.replace("1}", "1_0}"),
        GOOD.replace("1}", "١}"),
        GOOD.replace("1}", '1, "amount": 2}'),
        GOOD.replace("1}", '1, "more": {"a": 1, "a": 1}}'),
        GOOD.replace("1}", "1" * 5000 + "}"),
        GOOD.replace("1}", "0." + "1" * 5000 + "}"),
        GOOD.replace("1}", "1e100000000000000000000}"),
        GOOD.replace("1}", "1e-100000000000000000000}"),
        GOOD.replace("1}", "1e99999}"),
        GOOD.replace("1}", "[" * 60_000),
        GOOD.replace("1}", '{"a":' * 10_000),
        "[" * 60_000,
        "method_id=1&amount=1",
    ],
    ids=lambda body: repr(body[-24:]),
)
def test_a_body_that_is_not_json_is_rejected(client, body):
    response = post(client, body)
    assert response.status_code == 400
    assert response.json["message"].startswith("The body is not acceptable JSON")
    assert not [word for word in WORDS_OF_PYTHON if word in response.json["message"]]
    assert client.get("/payments").status_code == 204


@pytest.mark.parametrize("body", ["[]", "[1]", "null", "true", "1", '"text"', f"[{GOOD}]"])
def test_a_body_that_is_not_an_object_is_rejected(client, body):
    response = post(client, body)
    assert response.status_code == 422
    assert response.json["message"] == "Send a JSON object."
    assert client.get("/payments").status_code == 204


@pytest.mark.parametrize("path", ["/payments", "/payments/ticket-payments", f"/payments/{NOBODY}"])
def test_each_body_has_to_be_an_object(client, path):
    response = client.open(path, method="PUT" if path.endswith(NOBODY) else "POST", json=[1])
    assert (response.status_code, response.json["message"]) == (422, "Send a JSON object.")


def test_the_place_of_a_syntax_error_is_named(client):
    assert post(client, '{"amount": 1,\n "method_id" 1}').json["message"].endswith(": see line 2, column 14.")


@pytest.mark.parametrize("body", [GOOD, GOOD.replace("txn-1", "café"), " \n" + GOOD])
def test_a_byte_order_mark_before_a_body_is_skipped(client, body):
    assert post(client, b"\xef\xbb\xbf" + body.encode()).status_code == 201


@pytest.mark.parametrize(
    "content_type",
    [
        *(None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ","),
        *("application/json, text/plain", "text/plain, application/json", "text/plain; a=application/json"),
    ],
)
def test_a_body_without_a_json_content_type_is_rejected(client, content_type):
    response = post(client, GOOD, content_type)
    assert response.status_code == 415
    assert "application/json" in response.json["message"]
    assert client.get("/payments").status_code == 204


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
def test_a_compressed_body_is_rejected(client, encoding):
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    response = client.post("/payments", data=GOOD, headers=headers)
    assert response.status_code == 415
    assert "Content-Encoding" in response.json["message"]
    assert client.get("/payments").status_code == 204


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_the_identity_content_encoding_is_accepted(client, encoding):
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    assert client.post("/payments", data=GOOD, headers=headers).status_code == 201


# As waitress joins a header that is sent twice.
TWICE = [
    "application/json, application/json",
    "application/json;charset=utf-8,application/json",
    "application/json, application/problem+json; charset=utf-8",
]


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", *TWICE])
def test_a_content_type_may_have_parameters_and_upper_case(client, content_type):
    assert post(client, GOOD, content_type).status_code == 201


def test_a_body_over_64_kib_is_rejected(client):
    response = post(client, GOOD.replace("txn-1", "x" * 65536))
    assert response.status_code == 413
    assert "64 KiB" in response.json["message"]
    assert client.get("/payments").status_code == 204


def test_a_body_may_have_white_space_and_escapes(client):
    body = " \r\n\t" + GOOD.replace("txn-1", "\\u0074xn-1") + "\n"
    payment_id = post(client, body).json["id"]
    assert client.get(f"/payments/{payment_id}").json["transaction_id"] == "txn-1"


def test_a_body_is_read_as_utf_8(client):
    payment_id = post(client, GOOD.replace("txn-1", "café").encode()).json["id"]
    assert client.get(f"/payments/{payment_id}").json["transaction_id"] == "café"


@pytest.mark.parametrize("path", ["/payments", "/payments/ticket-payments"])
def test_every_error_has_the_same_shape(client, path):
    for body, content_type, code in [("{", "application/json", 400), ("{}", "text/plain", 415), ("{}", "a/json", 415)]:
        refusal = client.post(path, data=body, content_type=content_type).json
        assert set(refusal) == {"code", "status", "message"}
        assert refusal["code"] == code
    refusal = client.post(path, json={}).json
    assert set(refusal) == {"code", "status", "message", "errors"}
    assert list(refusal["errors"]) == ["json"]
