"""POST and GET /payments/closings, beside the worked example in test_cash_up.py"""
import hashlib
from decimal import Decimal

import pytest

from payments_service.store import archives

from ..support.closings import CLOSINGS, NEXT, amounts, close, line_of
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, NOBODY, payment
from ..support.rows import Rows

LARGEST = Decimal("92233720368.54775807")


def count(**changed):
    return {"method_id": CASH, "currency_id": EUR, "counted": 1} | changed


def test_an_open_closing_without_postings_is_empty(client):
    assert client.get(NEXT).json == {
        "number": 1,
        "business_date": client.get(NEXT).json["business_date"],
        "lines": [],
        "users": [],
        "cash_methods": [{"method_id": CASH, "method": "Cash"}],
    }


def test_an_added_cash_method_is_listed_as_cash(app, client):
    runner = app.test_cli_runner()
    added = runner.invoke(args=["methods", "add", "Bar drawer", "--cash"]).output.strip()
    runner.invoke(args=["methods", "add", "Meal voucher"])
    assert [method["method_id"] for method in client.get(NEXT).json["cash_methods"]] == [CASH, added]
    assert client.get("/payments/methods").json[-2] == {"id": added, "name": "Bar drawer"}


def test_a_report_changes_nothing(client, rows, add_payment):
    add_payment()
    tables = ["posting", "closing", "closing_line", "closing_user", "open_closing", "history"]
    before = [rows.all(f"SELECT * FROM {table}") for table in tables]
    assert client.get(NEXT).data == client.get(NEXT).data
    assert [rows.all(f"SELECT * FROM {table}") for table in tables] == before


def test_closings_are_numbered_and_linked_by_their_hashes(client, add_payment):
    for number in (1, 2, 3):
        add_payment(amount=number)
        response = client.post(CLOSINGS, json={})
        assert response.json == {"number": number, "message": "Closing added successfully"}
        assert response.headers["Location"].endswith(f"/payments/closings/{number}")
    first, second, third = client.get(CLOSINGS).json
    assert first["previous_hash"] is None
    assert [second["previous_hash"], third["previous_hash"]] == [first["hash"], second["hash"]]
    assert client.get(f"{CLOSINGS}/2").json == second


def test_a_closing_without_payments_is_fine(client):
    assert close(client) == 1
    closing = client.get(f"{CLOSINGS}/1").json
    assert (closing["lines"], closing["users"]) == ([], [])
    assert client.get(f"{CLOSINGS}/1/postings").status_code == 204


def test_the_list_of_closings_is_empty_at_first(client):
    assert client.get(CLOSINGS).status_code == 204


def test_a_payment_belongs_to_exactly_one_closing(client, add_payment):
    add_payment(amount=5)
    close(client)
    add_payment(amount=7)
    assert amounts(line_of(client.get(NEXT).json, CASH, EUR)) == {
        "opening": 5, "payments": 7, "payments_count": 1, "expected": 12,
    }


def test_a_payment_of_zero_counts(client, add_payment):
    add_payment(amount=0)
    assert amounts(line_of(client.get(NEXT).json, CASH, EUR)) == {"payments_count": 1}


def test_a_change_of_the_transaction_id_alone_posts_nothing(client, add_payment, rows):
    payment_id = add_payment(amount=5)
    client.put(f"/payments/{payment_id}", json=payment(amount=5, transaction_id="other"))
    assert rows.all("SELECT kind, minor_units FROM posting") == [("payment", 500)]


@pytest.mark.parametrize(
    ("changed", "posted"),
    [
        ({"amount": 7}, [200]),
        ({"amount": 3}, [-200]),
        ({"method_id": CREDIT_CARD}, [-500, 500]),
        ({"currency_id": BTC}, [-500, 500_000_000]),
        ({"currency_id": BTC, "amount": 0}, [-500]),
    ],
    ids=str,
)
def test_a_change_posts_a_correction_for_each_difference(client, add_payment, rows, changed, posted):
    payment_id = add_payment(amount=5)
    body = payment(**{"amount": 5, "transaction_id": ""} | changed)
    assert client.put(f"/payments/{payment_id}", json=body).status_code == 200
    assert rows.all("SELECT minor_units FROM posting WHERE kind = 'correction' ORDER BY id") == [
        (minor_units,) for minor_units in posted
    ]


def test_a_link_posts_nothing_and_is_sealed(client, add_payment, link, rows):
    link(add_payment(), "ticket-1")
    assert rows.all("SELECT count(*) FROM posting") == [(1,)]
    assert rows.all("SELECT DISTINCT closing FROM history") == [(1,)]


def test_a_posting_has_the_user_who_made_the_change(make_client, rows):
    payment_id = make_client(userId=7).post("/payments", json=payment()).json["id"]
    make_client(userId=None).put(f"/payments/{payment_id}", json=payment(amount=1))
    make_client(userId=8).delete(f"/payments/{payment_id}")
    assert rows.all("SELECT user_id FROM posting ORDER BY id") == [("7",), (None,), ("8",)]
    report = make_client().get(NEXT).json
    assert [(user["user_id"], str(user["takings"])) for user in report["users"]] == [
        (None, "-44.50"), ("7", "45.50"), ("8", "-1.00"),
    ]


def test_a_name_changed_later_changes_no_closing(app, client, add_payment):
    add_payment()
    close(client)
    before, journal = client.get(f"{CLOSINGS}/1").data, client.get(f"{CLOSINGS}/1/postings").data
    app.test_cli_runner().invoke(args=["methods", "rename", "Cash", "Bargeld"])
    app.test_cli_runner().invoke(args=["currencies", "rename", "EUR", "EURO"])
    assert client.get(f"{CLOSINGS}/1").data == before
    assert client.get(f"{CLOSINGS}/1/postings").data == journal
    assert client.get(NEXT).json["lines"][0]["method"] == "Bargeld"


def test_a_count_without_postings_makes_a_line(client):
    close(client, (CASH, EUR, "10.00", None), (CREDIT_CARD, EUR, "0.00", None))
    closing = client.get(f"{CLOSINGS}/1").json
    assert amounts(line_of(closing, CASH, EUR)) == {"counted": 10, "difference": 10, "remaining": 10}
    assert str(line_of(closing, CREDIT_CARD, EUR)["difference"]) == "0.00"


def test_cash_is_carried_on_until_it_is_taken_out(client):
    close(client, (CASH, EUR, "10.00", None))
    for number in (2, 3):
        assert close(client) == number
        line = line_of(client.get(f"{CLOSINGS}/{number}").json, CASH, EUR)
        assert amounts(line) == {"opening": 10, "expected": 10, "remaining": 10}
    close(client, (CASH, EUR, "10.00", "0"))
    assert close(client) == 5
    assert client.get(f"{CLOSINGS}/5").json["lines"] == []


def test_other_methods_than_cash_have_no_opening(client, add_payment):
    add_payment(method_id=CREDIT_CARD)
    close(client)
    assert client.get(NEXT).json["lines"] == []


def test_a_drawer_may_be_short_and_expected_below_zero(client, add_payment):
    payment_id = add_payment(amount=5)
    close(client, (CASH, EUR, "0", None))
    client.delete(f"/payments/{payment_id}")
    close(client)
    line = line_of(client.get(f"{CLOSINGS}/2").json, CASH, EUR)
    assert (str(line["expected"]), str(line["remaining"]), str(line["taken_out"])) == ("-5.00", "-5.00", "0.00")


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([count(method_id=NOBODY)], "Count 1: there is no payment method with this method_id."),
        ([count(currency_id=NOBODY)], "Count 1: there is no currency with this currency_id."),
        ([count(), count(counted=2)], "Count 2: this method and currency is counted twice."),
        ([count(remaining=2)], "Count 1: remaining is more than counted."),
        ([count(method_id=CREDIT_CARD, remaining=0)], "Count 1: only cash remains in a drawer: leave remaining out."),
        ([count(), count(currency_id=BTC, counted=Decimal("0.000000001"))], "Count 2: BTC has 8 decimals."),
        ([count(counted="1")], "Count 1: counted: Send a JSON number, such as 45.50."),
        ([count(counted=-1)], "Count 1: counted: Must be zero or more."),
        ([count(), count(method_id="cash")], "Count 2: method_id: Not a valid UUID."),
        ([count(colour="red")], "Count 1: Unknown field."),
        ([{"method_id": CASH, "currency_id": EUR}], "Count 1: counted: Missing data for required field."),
        ([1], "Count 1: Invalid input type."),
        ({}, "Not a valid list."),
    ],
    ids=str,
)
def test_counts_that_cannot_be_are_rejected(client, counts, reason):
    response = client.post(CLOSINGS, json={"counts": counts})
    assert response.status_code == 422
    assert response.json["errors"] == {"json": {"counts": [reason]}}
    assert client.get(CLOSINGS).status_code == 204


@pytest.mark.parametrize("remaining", [None, 1])
def test_what_remains_may_be_null_or_all_that_is_counted(client, remaining):
    assert client.post(CLOSINGS, json={"counts": [count(remaining=remaining)]}).status_code == 201
    assert line_of(client.get(f"{CLOSINGS}/1").json, CASH, EUR)["remaining"] == 1


@pytest.mark.parametrize("number", [0, -1, Decimal("1.5"), "1", True, 2**63])
def test_a_number_that_no_closing_has_is_rejected(client, number):
    response = client.post(CLOSINGS, json={"number": number})
    assert response.json["errors"] == {"json": {"number": ["Send a whole number above zero."]}}


def test_another_number_than_the_next_closes_nothing(client):
    close(client, number=1)
    response = client.post(CLOSINGS, json={"number": 1})
    assert response.status_code == 409
    assert "The next closing is 2. Closing 1 was made by user 12 at 20" in response.json["message"]
    assert len(client.get(CLOSINGS).json) == 1


def test_a_conflict_tells_nothing_to_one_who_may_not_read(make_client):
    cashier = make_client(permissions=["payments_create"])
    response = cashier.post(CLOSINGS, json={"number": 7})
    assert response.status_code == 409
    assert response.json["message"] == "This is not the number of the next closing: nothing was closed."


def test_a_cashier_counts_blind(make_client, add_payment):
    add_payment()
    cashier = make_client(permissions=["payments_create"])
    response = cashier.post(CLOSINGS, json={"counts": [count(counted=45)]})
    assert (response.status_code, set(response.json)) == (201, {"number", "message"})
    for path in (NEXT, CLOSINGS, f"{CLOSINGS}/1", f"{CLOSINGS}/1/postings", f"{NEXT}/postings", "/payments/takings"):
        assert cashier.get(path).status_code == 403


def test_a_retry_with_a_key_closes_once(client, add_payment):
    add_payment()
    answers = [client.post(CLOSINGS, json={"counts": [count()]}, headers={"Idempotency-Key": "key-1"}) for _ in "12"]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].data == answers[1].data
    assert answers[1].headers["Location"] == answers[0].headers["Location"]
    assert len(client.get(CLOSINGS).json) == 1
    response = client.post(CLOSINGS, json={"counts": [count(counted=2)]}, headers={"Idempotency-Key": "key-1"})
    assert (response.status_code, "The closing 1 is recorded" in response.json["message"]) == (422, True)


def test_sums_beyond_63_bits_are_shown_and_not_closed(client, add_payment):
    for _ in range(2):
        add_payment(method_id=BITCOIN_LIGHTNING, currency_id=BTC, amount=LARGEST)
    line = line_of(client.get(NEXT).json, BITCOIN_LIGHTNING, BTC)
    assert str(line["expected"]) == "184467440737.09551614"
    response = client.post(CLOSINGS, json={})
    assert (response.status_code, "too large to add up" in response.json["message"]) == (409, True)
    assert client.get(CLOSINGS).status_code == 204
    assert str(client.get("/payments/takings").json["totals"][0]["takings"]) == "184467440737.09551614"


def test_the_largest_amounts_are_closed_and_corrected(client, add_payment):
    payment_id = add_payment(method_id=BITCOIN_LIGHTNING, currency_id=BTC, amount=LARGEST)
    close(client)
    client.delete(f"/payments/{payment_id}")
    close(client)
    shown = [line_of(client.get(f"{CLOSINGS}/{number}").json, BITCOIN_LIGHTNING, BTC) for number in (1, 2)]
    assert [str(line["expected"]) for line in shown] == [str(LARGEST), f"-{LARGEST}"]


@pytest.mark.parametrize("number", ["2", "0", "-1", "x", "1.0", "01", "9" * 18, "9" * 30, "%31%00", "next2"])
def test_a_number_without_a_closing_gives_404(client, number):
    close(client)
    for path in (f"{CLOSINGS}/{number}", f"{CLOSINGS}/{number}/postings"):
        response = client.get(path)
        assert (response.status_code, response.json["message"]) == (404, "There is no closing with this number.")


@pytest.mark.parametrize("path", [NEXT, f"{CLOSINGS}/1", f"{NEXT}/postings"])
def test_reports_can_only_be_read(client, path):
    response = client.post(path, json={})
    assert (response.status_code, set(response.headers["Allow"].split(", "))) == (405, {"GET", "HEAD", "OPTIONS"})


def test_the_hash_is_that_of_the_archive(app, client, add_payment, link, rows):
    for number in range(3):
        link(add_payment(), f"ticket-{number}")
        close(client, (CASH, EUR, "10.00", "5.00"))
    for closing in client.get(CLOSINGS).json:
        with app.app_context():
            lines = list(archives.write_lines(closing["number"]))
        assert hashlib.sha256(b"".join(lines)).hexdigest() == closing["hash"]
        assert len(lines) == 5
        assert all(line.endswith(b"}\n") for line in lines)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_an_archive_is_the_same_in_batches_of_any_size(app, client, add_payment, monkeypatch, batch):
    for _ in range(3):
        add_payment()
    close(client)
    with app.app_context():
        whole = list(archives.write_lines(1))
        monkeypatch.setattr(archives, "BATCH", batch)
        assert list(archives.write_lines(1)) == whole
    assert len(whole) == 8


TABLES = ["posting", "closing", "closing_line", "closing_user", "cash_movement"]


@pytest.mark.parametrize("table", TABLES)
def test_the_database_rejects_changes_of_what_is_closed(client, add_payment, rows, table):
    add_payment()
    movement = {"kind": "paid_in", "method_id": CASH, "currency_id": EUR, "amount": 1, "reason": "float"}
    client.post("/payments/cash-movements", json=movement)
    close(client)
    before = rows.all(f"SELECT * FROM {table}")
    assert before
    column = {"closing": "number"}.get(table, "closing")
    statements = [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"]
    if rows.is_sqlite:
        statements.append(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")
    else:
        statements.append(f"TRUNCATE {table}")
    for sql in statements:
        with pytest.raises(Rows.Rejected, match="append-only"):
            rows.execute(sql)
    assert rows.all(f"SELECT * FROM {table}") == before
