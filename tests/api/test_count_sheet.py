"""GET /payments/closings/next/count-sheet"""
from decimal import Decimal

from ..support.closings import CLOSINGS, NEXT, close
from ..support.payments import BTC, CASH, CREDIT_CARD, EUR

SHEET = f"{NEXT}/count-sheet"

CASH_IN_EUR = {"method_id": CASH, "method": "Cash", "currency_id": EUR, "currency": "EUR", "cash": True}
CARD_IN_EUR = {"method_id": CREDIT_CARD, "method": "Credit Card", "currency_id": EUR, "currency": "EUR", "cash": False}


def test_the_lines_of_the_next_closing_have_names_and_no_figure(client, add_payment):
    add_payment(method_id=CREDIT_CARD)
    add_payment(method_id=CASH)
    sheet = client.get(SHEET).json
    assert (sheet["number"], sheet["lines"]) == (1, [CASH_IN_EUR, CARD_IN_EUR])


def test_all_methods_and_currencies_can_be_counted(client):
    sheet = client.get(SHEET).json
    names = [method["name"] for method in client.get("/payments/methods").json]
    assert [method["method"] for method in sheet["methods"]] == names
    assert [method["method"] for method in sheet["methods"] if method["cash"]] == ["Cash"]
    acronyms = [currency["acronym"] for currency in client.get("/payments/currencies").json]
    assert [currency["currency"] for currency in sheet["currencies"]] == acronyms
    assert sheet["lines"] == []


def test_a_drawer_that_is_not_empty_has_a_line(client):
    close(client, (CASH, EUR, "150.00", None))
    assert client.get(SHEET).json["lines"] == [CASH_IN_EUR]
    assert client.get(SHEET).json["number"] == 2


def test_who_may_only_close_can_read_it(make_client):
    client = make_client(permissions=["payments_create"])
    assert client.get(NEXT).status_code == 403
    sheet = client.get(SHEET).json
    line = {"method_id": CASH, "currency_id": BTC, "counted": Decimal("0.5")}
    assert client.post(CLOSINGS, json={"number": sheet["number"], "counts": [line]}).status_code == 201
