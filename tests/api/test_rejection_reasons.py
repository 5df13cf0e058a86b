"""The log says why a request was rejected, and quotes nothing of it"""
from decimal import Decimal

import pytest

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.payments import payment
from ..support.tokens import make_token

pytestmark = on_one_engine

SECRET_VALUE = "4111-1111-1111-1111"


@pytest.fixture
def find_reason(app, caplog):
    """Send a request and return the reason in its log line, None without one."""

    def send(client, method, path, **options):
        caplog.clear()
        with caplog.at_level("INFO"):
            client.open(path, method=method, **options)
        line = next(record for record in caplog.records if record.message == "request")
        assert SECRET_VALUE not in str(vars(line))
        return getattr(line, "reason", None)

    return send


def test_an_accepted_request_has_no_reason(client, find_reason):
    assert find_reason(client, "POST", "/payments", json=payment()) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"amount": "1"}, "amount: Send a JSON number, such as 45.50."),
        ({"method_id": SECRET_VALUE}, "method_id: Not a valid UUID."),
        ({SECRET_VALUE: 1}, "an unknown field: Unknown field."),
        ({"transaction_id": SECRET_VALUE * 110}, "transaction_id: Longer than maximum length 2000."),
        ({"amount": None}, "amount: Missing data for required field."),
    ],
    ids=["type", "form", "unknown", "length", "missing"],
)
def test_the_reason_names_the_field_and_the_rule(client, find_reason, changed, reason):
    assert find_reason(client, "POST", "/payments", json=payment(**changed)) == reason


def test_the_reason_names_what_the_currency_cannot_hold(client, find_reason):
    assert find_reason(client, "POST", "/payments", json=payment(amount=Decimal("1.234"))) == (
        "amount: EUR has 2 decimals."
    )


def test_the_reason_names_the_permission(app, find_reason):
    reader = client_of(app, make_token(permissions=["payments_read"]))
    assert "payments_create" in find_reason(reader, "POST", "/payments", json=payment())


def test_the_reason_names_the_rule_of_origins(client, find_reason):
    headers = {"Origin": f"https://{SECRET_VALUE}.example"}
    assert "another origin" in find_reason(client, "POST", "/payments", json=payment(), headers=headers)


def test_the_reason_of_a_taken_id_does_not_name_its_payment(client, find_reason, add_payment):
    payment_id = add_payment(transaction_id=SECRET_VALUE)
    reason = find_reason(client, "POST", "/payments", json=payment(transaction_id=SECRET_VALUE))
    assert reason.startswith("Another payment has this transaction_id")
    assert payment_id not in reason


def test_the_reason_of_a_reused_key_does_not_name_the_record(client, find_reason):
    headers = {"Idempotency-Key": "key-1"}
    client.post("/payments", json=payment(transaction_id=SECRET_VALUE), headers=headers)
    reason = find_reason(client, "POST", "/payments", json=payment(amount=1), headers=headers)
    assert reason == "The Idempotency-Key was used with other values."


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("GET", "/nowhere", "There is nothing at this address."),
        ("GET", "/payments/x", "There is no payment with this id."),
        ("POST", "/payments/methods", "This address does not allow this method: see the Allow header."),
    ],
)
def test_the_reason_is_the_message_otherwise(client, find_reason, method, path, reason):
    assert find_reason(client, method, path) == reason


def test_the_reason_of_a_missing_token_is_its_absence(app, find_reason):
    assert "Sign in first" in find_reason(app.test_client(), "GET", "/payments")
