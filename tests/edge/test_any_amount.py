"""Random amounts: allowed ones are returned as the same text, others are rejected"""
from decimal import Decimal

import pytest
from hypothesis import example, given, settings, strategies as st

from ..support.engines import on_one_engine
from ..support.examples import same_examples
from ..support.payments import BTC, CASH, EUR

many = settings(same_examples, max_examples=200)
DECIMALS = {EUR: 2, BTC: 8, "JPY": 0}


@pytest.fixture
def post_amount(app, client):
    """Post a payment of an amount, given as JSON text, in a currency."""
    yen = app.test_cli_runner().invoke(args=["currencies", "add", "JPY", "--decimals", "0"]).output.strip()

    def post(currency, amount):
        currency_id = yen if currency == "JPY" else currency
        body = f'{{"method_id": "{CASH}", "currency_id": "{currency_id}", "amount": {amount}}}'
        return client.post("/payments", data=body, content_type="application/json")

    return post


def largest(currency):
    """Return the largest number of minor units: 15 digits before the point, and what a BIGINT holds."""
    return min(10 ** (15 + DECIMALS[currency]) - 1, 2**63 - 1)


@st.composite
def allowed(draw):
    currency = draw(st.sampled_from(sorted(DECIMALS)))
    return currency, Decimal(draw(st.integers(0, largest(currency)))).scaleb(-DECIMALS[currency])


@st.composite
def too_large_or_negative(draw):
    currency = draw(st.sampled_from(sorted(DECIMALS)))
    units = draw(st.integers(max_value=-1) | st.integers(min_value=largest(currency) + 1, max_value=10**60))
    return currency, Decimal(units).scaleb(-DECIMALS[currency])


@st.composite
def too_fine(draw):
    currency = draw(st.sampled_from(sorted(DECIMALS)))
    finer = draw(st.integers(1, 20))
    units = draw(st.integers(1, largest(currency)).filter(lambda units: units % 10))
    return currency, Decimal(units).scaleb(-DECIMALS[currency] - finer)


@many
@given(allowed())
@example((BTC, Decimal(2**63 - 1).scaleb(-8)))
@example((EUR, Decimal("999999999999999.99")))
@example((EUR, Decimal("0.00")))
def test_an_allowed_amount_is_returned_as_the_same_text(client, post_amount, amount):
    currency, value = amount
    response = post_amount(currency, f"{value:f}")
    assert response.status_code == 201, response.text
    assert f'"amount":{value:f}}}' in client.get(f"/payments/{response.json['id']}").text


@on_one_engine
@many
@given(too_large_or_negative() | too_fine())
@example((BTC, Decimal(2**63).scaleb(-8)))
@example((EUR, Decimal("1000000000000000.00")))
@example((EUR, Decimal("-0.01")))
@example((EUR, Decimal("0.001")))
def test_any_other_amount_is_rejected(client, post_amount, amount):
    currency, value = amount
    response = post_amount(currency, f"{value:f}")
    assert response.status_code == 422, response.text
    assert list(response.json["errors"]["json"]) == ["amount"]
    assert client.get("/payments").status_code == 204
