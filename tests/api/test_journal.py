"""GET /payments/closings/{number}/postings and /payments/closings/next/postings"""
import csv
import io
from decimal import Decimal

import pytest

from payments_service.web import streaming

from ..support.closings import CLOSINGS, MOVEMENTS, NEXT, close
from ..support.payments import CASH, CREDIT_CARD, EUR, payment

HEADER = "at,business_date,user_id,action,payment_id,transaction_id,tickets,method,currency,amount,tip,reason"


@pytest.fixture
def day(client, make_client, add_payment, link):
    """Record a payment that is changed, a cash movement, and a payment that is deleted; return their ids."""
    changed = add_payment(amount=5, transaction_id="txn-7")
    for ticket in ("table 9", "table 1"):
        link(changed, ticket)
    client.put(f"/payments/{changed}", json=payment(amount=5, transaction_id="", method_id=CREDIT_CARD))
    body = {"kind": "paid_out", "method_id": CASH, "currency_id": EUR, "amount": 1, "reason": "Flowers"}
    make_client(userId=None).post(MOVEMENTS, json=body)
    deleted = add_payment(amount=2, transaction_id="txn-8")
    client.delete(f"/payments/{deleted}")
    return changed, deleted


EXPECTED = [
    ("created", "txn-7", ["table 9", "table 1"], "Cash", "5.00", None),
    ("changed", "txn-7", ["table 9", "table 1"], "Cash", "-5.00", None),
    ("changed", "txn-7", ["table 9", "table 1"], "Credit Card", "5.00", None),
    ("paid_out", None, [], "Cash", "-1.00", "Flowers"),
    ("created", "txn-8", [], "Cash", "2.00", None),
    ("deleted", "txn-8", [], "Cash", "-2.00", None),
]
NAMES = ("action", "transaction_id", "tickets", "method", "amount", "reason")


def shown(entries):
    """Return the entries' fields that a test knows."""
    return [tuple(str(entry[name]) if name == "amount" else entry[name] for name in NAMES) for entry in entries]


def test_the_journal_has_every_change_of_money_in_order(client, day):
    entries = client.get(f"{NEXT}/postings").json
    assert shown(entries) == EXPECTED
    changed, deleted = day
    assert [entry["payment_id"] for entry in entries] == [changed] * 3 + [None] + [deleted] * 2
    assert [entry["user_id"] for entry in entries] == ["12"] * 3 + [None] + ["12"] * 2
    assert {entry["currency"] for entry in entries} == {"EUR"}


def test_a_closing_has_the_journal_that_was_open(client, day):
    before = client.get(f"{NEXT}/postings").data
    close(client)
    assert client.get(f"{CLOSINGS}/1/postings").data == before
    assert client.get(f"{NEXT}/postings").status_code == 204


def test_the_journal_adds_up_to_the_lines(client, day):
    close(client)
    sums = {}
    for entry in client.get(f"{CLOSINGS}/1/postings").json:
        sums[entry["method"]] = sums.get(entry["method"], 0) + entry["amount"]
    lines = client.get(f"{CLOSINGS}/1").json["lines"]
    assert sums == {line["method"]: line["expected"] for line in lines}


def test_the_journal_has_the_tip_of_each_change(client, add_payment):
    payment_id = add_payment(tip=Decimal("4.50"))
    client.post(f"/payments/{payment_id}/refunds", json={"amount": Decimal("1.50")})
    client.put(f"/payments/{payment_id}", json=payment(transaction_id="", tip=3))
    changes = [("45.50", "4.50"), ("-1.50", "0.00"), ("0.00", "-1.50")]
    assert [(str(entry["amount"]), str(entry["tip"])) for entry in client.get(f"{NEXT}/postings").json] == changes
    rows = csv.DictReader(io.StringIO(client.get(f"{NEXT}/postings?format=csv").text))
    assert [(row["amount"], row["tip"]) for row in rows] == changes


@pytest.mark.parametrize(("query", "accept"), [("format=csv", None), ("", "text/csv"), ("", "text/csv, */*;q=0.1")])
def test_the_journal_is_sent_as_csv_on_request(client, day, query, accept):
    response = client.get(f"{NEXT}/postings?{query}", headers={"Accept": accept} if accept else {})
    assert response.content_type == "text/csv; charset=utf-8"
    lines = response.text.split("\r\n")
    assert (lines[0], lines[-1], len(lines)) == (HEADER, "", 8)
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [(row["action"], row["tickets"], row["amount"], row["reason"]) for row in rows] == [
        (action, ", ".join(tickets), amount, reason or "") for action, _, tickets, _, amount, reason in EXPECTED
    ]


@pytest.mark.parametrize(
    ("query", "accept"),
    [("", "*/*"), ("", "application/json, text/csv"), ("format=json", "text/csv"), ("", "image/png")],
)
def test_the_journal_is_json_otherwise(client, day, query, accept):
    response = client.get(f"{NEXT}/postings?{query}", headers={"Accept": accept})
    assert response.content_type == "application/json"


def test_an_unknown_format_is_rejected(client):
    assert client.get(f"{NEXT}/postings?format=xlsx").status_code == 422


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r="])
def test_no_cell_is_one_that_a_spreadsheet_would_run(client, make_client, add_payment, link, start):
    formula = f'{start}HYPERLINK("http://evil.example")'
    link(add_payment(transaction_id=f"{formula}".strip(), amount=1), formula.strip())
    body = {"kind": "paid_in", "method_id": CASH, "currency_id": EUR, "amount": 1, "reason": formula.strip()}
    client.post(MOVEMENTS, json=body)
    text = client.get(f"{NEXT}/postings?format=csv").text
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and "evil" in cell]
    assert len([cell for cell in cells if cell == f"'{formula.strip()}"]) == 3


def test_amounts_stay_numbers_in_csv(client, add_payment):
    client.delete(f"/payments/{add_payment(amount=Decimal('1234.50'))}")
    rows = csv.DictReader(io.StringIO(client.get(f"{NEXT}/postings?format=csv").text))
    assert [row["amount"] for row in rows] == ["1234.50", "-1234.50"]


def test_quotes_and_other_alphabets_survive_csv(client, add_payment):
    add_payment(transaction_id='a "b", c;\n€ ñ')
    (row,) = csv.DictReader(io.StringIO(client.get(f"{NEXT}/postings?format=csv").text))
    assert row["transaction_id"] == 'a "b", c;\n€ ñ'


@pytest.mark.parametrize("format_", ["json", "csv"])
def test_a_long_journal_is_streamed_and_the_same(client, day, monkeypatch, format_):
    path = f"{NEXT}/postings?format={format_}"
    whole = client.get(path).data
    monkeypatch.setattr(streaming, "MAX_ITEMS_IN_MEMORY", 2)
    assert client.get(path).data == whole


def test_the_journal_is_read_in_pages(client, day):
    whole = client.get(f"{NEXT}/postings").json
    first = client.get(f"{NEXT}/postings?limit=4")
    assert first.json == whole[:4]
    address = first.headers["Link"].partition(">")[0].removeprefix("<")
    assert address.startswith(f"http://localhost{NEXT}/postings?limit=4&after=")
    second = client.get(address.removeprefix("http://localhost"))
    assert (second.json, "Link" in second.headers) == (whole[4:], False)
