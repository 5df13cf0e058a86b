"""POST /payments"""
import random
import string
from decimal import Decimal
from uuid import UUID

import pytest

from ..support.engines import on_one_engine
from ..support.invisible import INVISIBLE
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, EUR, NOBODY, payment


def test_the_response_has_the_id_and_the_documented_message(client):
    response = client.post("/payments", json=payment())
    assert response.status_code == 201
    assert response.json == {"id": response.json["id"], "message": "Payment added successfully"}
    assert UUID(response.json["id"]).version == 7


def test_a_payment_is_read_back_as_it_was_sent(client):
    body = payment(method_id=BITCOIN_LIGHTNING, currency_id=BTC, transaction_id="lnbc-1", amount=Decimal("0.00021"))
    payment_id = client.post("/payments", json=body).json["id"]
    assert client.get(f"/payments/{payment_id}").json == body | {"id": payment_id}


@pytest.mark.parametrize("blank", ["", "   ", "\t\n", "\u00a0", "\u200b\ufeff", " " * 3000, None], ids=ascii)
def test_a_blank_transaction_id_becomes_the_payments_own_id(client, blank):
    payment_id = client.post("/payments", json=payment(transaction_id=blank)).json["id"]
    assert client.get(f"/payments/{payment_id}").json["transaction_id"] == payment_id


def test_many_payments_may_have_a_blank_transaction_id(client):
    ids = {client.post("/payments", json=payment(transaction_id="")).json["id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_transaction_id_serves_one_payment_only(client):
    assert client.post("/payments", json=payment(amount=1)).status_code == 201
    response = client.post("/payments", json=payment(amount=2))
    assert response.status_code == 409
    assert "transaction_id" in response.json["message"]
    assert [stored["amount"] for stored in client.get("/payments").json] == [1]


def test_a_reader_is_told_which_payment_has_the_transaction_id(client, make_client, add_payment):
    holder, other = add_payment(transaction_id="txn-1"), add_payment(transaction_id="txn-2")
    for permissions, named in [(["payments_read"], True), ([], False)]:
        client = make_client(permissions=[*permissions, "payments_create", "payments_update"])
        added, changed = client.post("/payments", json=payment()), client.put(f"/payments/{other}", json=payment())
        for response in (added, changed):
            assert response.status_code == 409
            assert (holder in response.text) == named


def test_transaction_ids_in_another_case_are_others(client):
    assert client.post("/payments", json=payment(transaction_id="txn-a")).status_code == 201
    assert client.post("/payments", json=payment(transaction_id="TXN-A")).status_code == 201


# Characters at random, so that PostgreSQL cannot compress them.
ASCII = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=2000))
GREEK = "".join(random.Random(1).choices("αβγδεζηθικλμνξο", k=1345))


@pytest.mark.parametrize("longest", [ASCII, GREEK, "ü" * 1345, "x" * 2000], ids=lambda text: text[:10])
def test_a_transaction_id_of_2000_characters_is_kept_whole(client, longest):
    payment_id = client.post("/payments", json=payment(transaction_id=longest)).json["id"]
    other_id = client.post("/payments", json=payment(transaction_id="")).json["id"]
    assert client.get(f"/payments/{payment_id}").json["transaction_id"] == longest
    response = client.get("/payments", query_string={"transaction_id": longest})
    assert [found["id"] for found in response.json] == [payment_id]
    assert client.put(f"/payments/{other_id}", json=payment(transaction_id=longest)).status_code == 409
    assert client.post("/payments", json=payment(transaction_id=longest)).status_code == 409
    assert client.put(f"/payments/{payment_id}", json=payment(transaction_id=longest)).status_code == 200
    other = longest[:-1] + "."
    assert client.put(f"/payments/{other_id}", json=payment(transaction_id=other)).status_code == 200


@pytest.mark.parametrize("too_long", ["x" * 2001, "ü" * 1346, "😀" * 673], ids=lambda text: text[:2])
def test_a_longer_transaction_id_is_rejected(client, add_payment, too_long):
    payment_id = add_payment(transaction_id="txn-2")
    for response in (
        client.post("/payments", json=payment(transaction_id=too_long)),
        client.put(f"/payments/{payment_id}", json=payment(transaction_id=too_long)),
    ):
        assert response.status_code == 422
        assert list(response.json["errors"]["json"]) == ["transaction_id"]
    assert client.get("/payments", query_string={"transaction_id": too_long}).status_code == 422


@pytest.mark.parametrize("invisible", INVISIBLE, ids=ascii)
@on_one_engine
def test_an_invisible_end_of_a_transaction_id_is_rejected(client, add_payment, invisible):
    payment_id = add_payment(transaction_id="slip-1")
    for changed in (f"slip-1{invisible}", f"{invisible}slip-1", f"{invisible}slip-1{invisible}"):
        for response in (
            client.post("/payments", json=payment(transaction_id=changed)),
            client.put(f"/payments/{payment_id}", json=payment(transaction_id=changed)),
        ):
            assert response.status_code == 422
            assert list(response.json["errors"]["json"]) == ["transaction_id"]
    # It may be anywhere else.
    assert client.post("/payments", json=payment(transaction_id=f"slip{invisible}1")).status_code == 201


def test_an_invisible_end_is_named_with_all_other_faults(client):
    body = payment(method_id=NOBODY, currency_id=NOBODY, transaction_id="slip-1\r")
    response = client.post("/payments", json=body)
    assert response.status_code == 422
    assert set(response.json["errors"]["json"]) == {"method_id", "currency_id", "transaction_id"}


def test_an_id_in_upper_case_is_returned_in_lower_case(client):
    payment_id = client.post("/payments", json=payment(method_id=CASH.upper(), currency_id=EUR.upper())).json["id"]
    stored = client.get(f"/payments/{payment_id}").json
    assert (stored["method_id"], stored["currency_id"]) == (CASH, EUR)


@pytest.mark.parametrize(
    "changed",
    [
        {"method_id": NOBODY},
        {"currency_id": NOBODY},
        {"method_id": None},
        {"currency_id": None},
        {"amount": None},
        {"method_id": "Cash"},
        {"method_id": 1},
        {"method_id": "{" + CASH + "}"},
        {"method_id": CASH.replace("-", "")},
        {"currency_id": ["EUR"]},
        {"transaction_id": 5},
        {"transaction_id": True},
        {"transaction_id": ["txn"]},
        {"transaction_id": "x" * 2001},
        {"transaction_id": "txn\0"},
        {"tip": "5"},
        {"id": CASH},
    ],
    ids=str,
)
def test_an_invalid_field_is_named_and_nothing_is_stored(client, changed):
    response = client.post("/payments", json=payment(**changed))
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == list(changed)
    assert next(iter(changed)) in response.json["message"]
    assert client.get("/payments").status_code == 204


def test_null_is_rejected_in_each_field_that_is_not_optional(client):
    body = '{"method_id": null, "currency_id": null, "transaction_id": null, "amount": null}'
    response = client.post("/payments", data=body, content_type="application/json")
    assert response.status_code == 422
    assert set(response.json["errors"]["json"]) == {"method_id", "currency_id", "amount"}


def test_a_transaction_id_of_null_counts_as_absent(client):
    payment_id = client.post("/payments", json=payment() | {"transaction_id": None}).json["id"]
    assert client.get(f"/payments/{payment_id}").json["transaction_id"] == payment_id


def test_null_in_an_unknown_field_is_rejected(client):
    response = client.post("/payments", json=payment() | {"colour": None})
    assert (response.status_code, list(response.json["errors"]["json"])) == (422, ["colour"])


def test_half_of_a_surrogate_pair_is_rejected(client):
    body = f'{{"method_id": "{CASH}", "currency_id": "{EUR}", "amount": 1, "transaction_id": "\\ud83d"}}'
    response = client.post("/payments", data=body, content_type="application/json")
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == ["transaction_id"]


def test_a_whole_surrogate_pair_is_a_character_like_others(client):
    body = f'{{"method_id": "{CASH}", "currency_id": "{EUR}", "amount": 1, "transaction_id": "\\ud83d\\ude00"}}'
    payment_id = client.post("/payments", data=body, content_type="application/json").json["id"]
    assert client.get(f"/payments/{payment_id}").json["transaction_id"] == "😀"


def test_half_a_surrogate_pair_as_a_field_name_is_rejected(client):
    response = client.post("/payments", data='{"\\ud83d": 1}', content_type="application/json")
    assert response.status_code == 422


def test_every_unknown_reference_is_named_at_once(client):
    response = client.post("/payments", json=payment(method_id=NOBODY, currency_id=NOBODY))
    assert set(response.json["errors"]["json"]) == {"method_id", "currency_id"}
