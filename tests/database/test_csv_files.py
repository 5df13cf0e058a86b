"""flask --app wsgi import csv and export csv"""
import csv
import itertools
from decimal import Decimal

import pytest

from payments_service import create_app, database

from ..support.clients import client_of
from ..support.closings import NEXT
from ..support.engines import on_one_engine
from ..support.history import history_of
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR
from ..support.tokens import SECRET, make_token

HEADINGS = "time,amount,currency,method,transaction_id,ticket,user\n"


@pytest.fixture
def run(app, tmp_path):
    """Import a file of text or bytes, and return the result with the rows of its list."""
    numbers = itertools.count(1)

    def run(content, *options, app=app):
        number = next(numbers)
        file, listed = tmp_path / f"payments-{number}.csv", tmp_path / f"list-{number}.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        result = app.test_cli_runner().invoke(args=["import", "csv", str(file), "--list", str(listed), *options])
        result.listed = list(csv.DictReader(listed.read_text().splitlines())) if listed.exists() else []
        result.refused = {int(row["row"]): row["why"] for row in result.listed if row["what"] == "refused"}
        return result

    return run


def export(app):
    """Return the lines of an export."""
    result = app.test_cli_runner().invoke(args=["export", "csv"])
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(result.stdout.splitlines()))


TILL = """Datum;Uhrzeit;Beleg;Betrag;Zahlart;Tisch;Kellner
31.12.2025;18:05:30;R-1;1.234,50;Bar;Tisch „4“;Jörg
01.01.2026;00:10;R-2;7,00;Kreditkarte;;Jörg
"""
NEWLINE = "\n"
AS_A_TILL = [
    "--map", "time=Datum+Uhrzeit", "--map", "transaction_id=Beleg", "--map", "amount=Betrag",
    "--map", "method=Zahlart", "--map", "ticket=Tisch", "--map", "user=Kellner", "--currency", "EUR",
    "--decimal-comma", "--dates", "dmy",
]


@on_one_engine
@pytest.mark.parametrize(
    ("content", "options"),
    [
        (TILL.replace("\n", "\r\n").encode("cp1252"), ["--encoding", "cp1252"]),
        (TILL.encode("utf-8-sig"), []),
        (TILL.replace(";", "\t").encode("utf-16"), []),
        (b"sep=;\r\n" + TILL.encode(), []),
        (TILL.replace("\n", ";\r").encode(), ["--delimiter", ";"]),
        (f"""\"{TILL.replace(';', '","').replace(NEWLINE, '"' + NEWLINE + '"')[:-1]}""".encode(), []),
    ],
    ids=["German till", "Excel", "Excel as Unicode text", "Excel with sep", "trailing delimiters", "LibreOffice"],
)
def test_files_of_spreadsheets_and_tills_are_read(run, make_app, content, options):
    app = make_app(TIME_ZONE="Europe/Berlin")
    app.test_cli_runner().invoke(args=["methods", "add", "Bar", "--cash"])
    result = run(content, *AS_A_TILL, *options, app=app)
    assert result.exit_code == 0, result.output
    assert "times without a zone are in Europe/Berlin" in result.output
    first, second = sorted(export(app), key=lambda line: line["time"])
    assert first["time"] == "2025-12-31T17:05:30+00:00"
    assert (first["amount"], first["currency"], first["method"]) == ("1234.50", "EUR", "Bar")
    assert (first["transaction_id"], first["ticket"], first["user"]) == ("R-1", "Tisch „4“", "Jörg")
    assert (second["time"], second["amount"], second["ticket"]) == ("2025-12-31T23:10:00+00:00", "7.00", "")


WRONG = [
    ("yesterday,1,EUR,Cash,,,", "the time 'yesterday' is none"),
    ("31.12.2025 18:05,1,EUR,Cash,,,", "--dates says in which order day and month are"),
    ("2099-01-01,1,EUR,Cash,,,", "its time is in the future"),
    ("2026-01-01,,EUR,Cash,,,", "it has no amount"),
    ('2026-01-01,"12,50",EUR,Cash,,,', "--decimal-comma says that the comma is decimal"),
    ('2026-01-01,"1,234",EUR,Cash,,,', "--decimal-comma says that the comma is decimal"),
    ("2026-01-01,-1,EUR,Cash,,,", "the amount '-1' is negative"),
    ("2026-01-01,1E3,EUR,Cash,,,", "the amount '1E3' is no number"),
    ("2026-01-01,1.005,EUR,Cash,,,", "EUR has 2 decimals"),
    ("2026-01-01,99999999999999999999,EUR,Cash,,,", "The largest amount in EUR is"),
    ("2026-01-01,1,XAU,Cash,,,", "there is no currency 'XAU' here. XAU has no minor unit"),
    ("2026-01-01,1,EUR,,,,", "the method '' cannot be added"),
    ("2026-01-01,1,EUR,00000000-0000-7000-8000-00000000dead,,,", "there is no method with the id"),
    ("2026-01-01,1,EUR", "it has 3 cells, and the headings are 7"),
    ("2026-01-01,1,EUR,Cash,,,,surplus", "it has 8 cells, and the headings are 7"),
    (f"2026-01-01,1,EUR,Cash,,,{'x' * 256}", "the user is no text of up to 255 printable characters"),
]


def test_every_wrong_line_is_listed_with_its_number(run, app, rows, verify):
    good = '2026-01-01 12:00+01:00,"1,234.50",USD,cash,,,\n'
    lines = "".join(f"{line}\n" for line, _ in WRONG)
    result = run(f"{HEADINGS}{lines}\n ,,,,,,\n{good}2026-01-01,2,EUR,Cash,,{'y' * 256},\n")
    assert result.exit_code == 1
    for number, (_, reason) in enumerate(WRONG, 2):
        assert reason in result.refused[number]
        assert f"refused: line {number}: {result.refused[number]}" in result.output
    # What is wrong with a ticket keeps no money out.
    assert list(result.refused)[len(WRONG):] == [len(WRONG) + 5]
    assert sorted(rows.all("SELECT minor_units FROM payment")) == [(200,), (123450,)]
    assert {line["method"] for line in export(app)} == {"Cash"}
    verify()


@on_one_engine
@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        (b"time,amount,currency,method\n2026-01-01,1,EUR,\xe9\n", [], "line 2 is not utf-8: name its encoding, such"),
        ("when,amount,currency,method\n", [], "has no column 'time' but when, amount, currency, method: --map time="),
        ("time,amount,method\n", [], "has no column 'currency'"),
        ("time,amount,amount,currency,method\n", [], "has several columns 'amount'"),
        ("", [], "has no column 'time'"),
        (b"PK\x03\x04", [], "is a workbook: save it as CSV"),
        (HEADINGS, ["--map", "ticket=Tisch"], "has no column 'tisch'"),
        (f'{HEADINGS}2026-01-01,1,EUR,"Cash,,,\n2026-01-01,1,EUR,Cash,,,\n', [], "line 2 cannot be told from the next"),
    ],
)
def test_a_file_that_cannot_be_read_is_rejected_in_one_line(run, rows, content, options, reason):
    result = run(content, *options)
    assert result.exit_code == 1
    assert reason in result.output
    assert len(result.output.splitlines()) == 1
    assert rows.all("SELECT * FROM payment") == []


@on_one_engine
@pytest.mark.parametrize(
    "options", [["--map", "Betrag"], ["--map", "sum=Betrag"], ["--encoding", "windows"], ["--delimiter", ";;"]]
)
def test_options_that_mean_nothing_are_rejected(run, options):
    assert run(HEADINGS, *options).exit_code == 2


@on_one_engine
def test_times_that_the_clock_skipped_are_refused(run, make_app):
    app = make_app(TIME_ZONE="Europe/Berlin")
    lines = "2025-03-30 02:30,1,EUR,Cash,,,\n2025-10-26 02:30,2,EUR,Cash,,,\n"
    result = run(HEADINGS + lines, app=app)
    assert result.refused == {2: "the clock skipped the time 2025-03-30 02:30:00 in Europe/Berlin"}
    assert "assumed: 1 times that the clock showed twice are the first of both" in result.output
    assert [line["time"] for line in export(app)] == ["2025-10-26T00:30:00+00:00"]


@on_one_engine
def test_dates_with_months_first_are_read_when_said(run, app):
    run(f"{HEADINGS}12/31/2025 6:05 PM,1,EUR,Cash,,,\n1/2/2026 12:00 AM,2,EUR,Cash,,,\n", "--dates", "mdy")
    assert sorted(line["time"] for line in export(app)) == ["2025-12-31T18:05:00+00:00", "2026-01-02T00:00:00+00:00"]


def test_the_same_lines_are_recorded_once(run, client, rows, verify):
    same = "2026-01-01T12:00:00Z,5,EUR,Cash,,t-1,anna\n"
    receipts = "2026-01-01T12:00:00Z,7,EUR,Cash,R-1,,\n2026-01-01T12:05:00Z,8,EUR,Cash,R-1,,\n"
    first = run(f"{HEADINGS}{same}{same}{receipts}")
    assert first.exit_code == 0, first.output
    again = run(f"{HEADINGS}{receipts}{same}{same}{same}", "--dry-run")
    assert "4 there before" in again.output
    assert run(f"{HEADINGS}{receipts}{same}{same}{same}").exit_code == 0
    assert rows.all("SELECT minor_units, count(*) FROM payment GROUP BY 1 ORDER BY 1") == [(500, 3), (700, 1), (800, 1)]
    changed = run(f"{HEADINGS}2026-01-01T12:00:00Z,9,EUR,Cash,R-1,,\n")
    assert changed.refused == {2: "a payment with this id is there, with another amount"}
    assert client.get(NEXT).json["lines"] == []
    (entry,) = history_of(client, client.get("/payments?transaction_id=R-1").json[0]["id"])
    assert (entry["action"], entry["user_id"], entry["after"]["created_at"]) == (
        "imported", None, "2026-01-01T12:00:00+00:00",
    )
    verify()


def record_everything(client, app):
    """Record payments of all kinds: with texts that a spreadsheet would run, tips, tickets, shares and refunds."""
    app.test_cli_runner().invoke(args=["currencies", "add", "JPY"])
    currencies = {currency["acronym"]: currency["id"] for currency in client.get("/payments/currencies").json}
    ids = []
    for method, currency, amount, tip, transaction_id in [
        (CASH, EUR, "45.50", "5.50", "=1+1"),
        (BITCOIN_LIGHTNING, BTC, "0.00012345", None, "'quoted', \"and\"\nlines; é"),
        (CREDIT_CARD, currencies["JPY"], "1500", None, ""),
    ]:
        body = {"method_id": method, "currency_id": currency, "transaction_id": transaction_id}
        body |= {"amount": Decimal(amount)} | ({"tip": Decimal(tip)} if tip else {})
        ids.append(client.post("/payments", json=body).json["id"])
    for ticket, share in (("-t", "10.00"), ("t-1", None)):
        body = {"payment_id": ids[0], "ticket_id": ticket} | ({"amount": Decimal(share)} if share else {})
        assert client.post("/payments/ticket-payments", json=body).status_code == 201
    for amount, method, reason in (("3.00", CASH, "soup"), ("1.00", CREDIT_CARD, "@home")):
        body = {"amount": Decimal(amount), "method_id": method, "reason": reason, "ticket_id": "-t"}
        assert client.post(f"/payments/{ids[0]}/refunds", json=body).status_code == 201
    return ids


@pytest.fixture
def other_app(new_database):
    """Make an application on an empty database of its own."""
    app = create_app({"DATABASE_URL": new_database(migrated=True), "JWT_SECRET": SECRET})
    yield app
    database.close(app)


def test_an_export_into_an_empty_database_is_the_same(run, client, app, other_app, tmp_path):
    ids = record_everything(client, app)
    file = tmp_path / "export.csv"
    assert app.test_cli_runner().invoke(args=["export", "csv", str(file)]).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert app.test_cli_runner().invoke(args=["export", "csv", str(file)]).exit_code == 1
    result = run(file.read_bytes(), app=other_app)
    assert result.exit_code == 0, result.output
    assert len(export(app)) == 6
    assert export(other_app) == export(app)
    other = client_of(other_app, make_token())
    for payment_id in ids:
        for path in (f"/payments/{payment_id}", f"/payments/ticket-payments/by-payment/{payment_id}"):
            assert other.get(path).data == client.get(path).data
    (first, *_) = ids
    shown, original = (found.get(f"/payments/{first}/refunds").json for found in (other, client))
    assert shown == original
    assert len(shown) == 2
    balance = "/payments/ticket-payments/balance/-t"
    assert other.get(balance).data == client.get(balance).data
    # It goes on as before: what is left may be refunded, and a refund that is a mistake deleted.
    assert other.post(f"/payments/{first}/refunds", json={"amount": Decimal("41.51")}).status_code == 409
    assert other.delete(f"/payments/{first}/refunds/{shown[0]['id']}").status_code == 204
    assert other.delete("/payments/ticket-payments?paymentId=" + first + "&ticketId=-t").status_code == 204
    verified = other_app.test_cli_runner().invoke(args=["verify"])
    assert verified.exit_code == 0, verified.output
    again = run(file.read_bytes(), "--dry-run", app=other_app)
    assert "0 recorded; tickets: 0, refunds: 0" in again.output


def test_refunds_that_cannot_be_are_refused(run, app, rows, verify):
    headings = "id,time,amount,currency,method,refund_of,reason\n"
    day = "2026-01-01T12:00:00Z"
    result = run(
        f"{headings}R-1,{day},10,EUR,Cash,,\n"
        f"r-1,{day},6,EUR,Cash,R-1,soup\nr-2,{day},5,EUR,Cash,R-1,\nr-3,{day},4,EUR,Credit Card,R-1,\n"
        f"r-4,{day},1,USD,Cash,R-1,\nr-5,{day},1,EUR,Cash,R-2,\nr-6,{day},0,EUR,Cash,R-1,\n"
        f"r-7,{day},1,EUR,Cash,R-1,so\0up\n"
    )
    assert result.refused == {
        4: "the refund: more is refunded than was paid",
        6: "the refund: it has another currency than its payment",
        7: "the refund: its payment is not in the source, or was refused",
        8: "the refund: the amount is zero",
        9: "the refund: the reason is no text of up to 255 characters",
    }
    assert "1 recorded; tickets: 0, refunds: 2" in result.output
    carried = rows.all("SELECT minor_units FROM posting WHERE kind = 'carried' ORDER BY minor_units")
    assert carried == [(-400,), (400,)]
    assert rows.all("SELECT refunded_units FROM payment") == [(1000,)]
    verify()


def test_a_refund_with_the_id_of_another_is_refused(run, client, add_payment, rows, verify):
    payment_id = add_payment(amount=Decimal("5.00"))
    refund_id = client.post(f"/payments/{payment_id}/refunds", json={"amount": Decimal("1.00")}).json["id"]
    headings = "id,time,amount,currency,method,refund_of\n"
    day = "2026-01-01T12:00:00Z"
    content = (
        f"{headings}R-1,{day},10,EUR,Cash,\n{refund_id},{day},2,EUR,Cash,R-1\nr-2,{day},3,EUR,Cash,R-1\n"
        f"r-2,{day},4,EUR,Cash,R-1\nR-1,{day},1,EUR,Cash,R-1\n"
    )
    result = run(content)
    assert result.refused == {
        3: "the refund: a refund of another payment is there with this id",
        5: "the refund: an earlier refund has the same id",
    }
    assert "1 recorded; tickets: 0, refunds: 2" in result.output
    assert rows.all("SELECT minor_units FROM refund ORDER BY minor_units") == [(100,), (100,), (300,)]
    verify()
    assert run(content).refused == {5: "the refund: an earlier refund has the same id"}


def test_an_id_is_the_transaction_id_of_one_payment_alone(run, client, add_payment, rows, verify):
    first, second, third, fourth, fifth, sixth = (f"f47ac10b-58cc-4372-a567-0e02b2c3d47{digit}" for digit in range(6))
    for payment_id in (first, sixth):
        add_payment(transaction_id=payment_id)
    day = "2026-01-01T12:00:00Z"
    result = run(
        f"id,time,amount,currency,method,transaction_id,ticket\n{first},{day},1,EUR,Cash,,t-1\n"
        f"{second},{day},2,EUR,Cash,,\n{fourth},{day},4,EUR,Cash,{third},\n{third},{day},3,EUR,Cash,{second},\n"
        f"{fifth},{day},5,EUR,Cash,{first},\n{sixth},{day},6,EUR,Cash,{fifth},\n"
    )
    assert result.refused == dict.fromkeys([2, 7], "another payment here has its id as transaction id")
    assert "assumed: 2 payments with another one's id as transaction id have their own id as such" in result.output
    for payment_id in (second, third, fourth, fifth):
        assert client.get(f"/payments/{payment_id}").json["transaction_id"] == payment_id
    assert rows.all("SELECT * FROM ticket_payment") == []
    verify()


def test_a_repeated_payment_brings_no_tickets(run, rows, verify):
    day = "2026-01-01T12:00:00Z"
    result = run(
        f"id,time,amount,currency,method,ticket,share\nR-1,{day},10,EUR,Cash,t-1,10\nR-2,{day},5,EUR,Cash,t-1,\n"
        f"R-1,{day},10,EUR,Cash,t-2,7\nR-1,{day},10,EUR,Cash,t-3,3\n"
    )
    lost = "the payment of ticket {!r} is not in the source, or was refused"
    assert [(row["row"], row["why"]) for row in result.listed if row["what"] == "refused"] == [
        ("4", "an earlier row has the same id"), ("4", lost.format("t-2")), ("5", lost.format("t-3")),
    ]
    assert "1 refused; tickets: 2, refunds: 0" in result.output
    assert set(rows.all("SELECT ticket_id, share_units FROM ticket_payment")) == {("t-1", 1000), ("t-1", None)}
    verify()


def test_a_method_that_was_renamed_is_not_added_again(run, app, rows):
    assert run(f"{HEADINGS}2026-01-01,1,EUR,Bar,R-1,,\n").exit_code == 0
    assert app.test_cli_runner().invoke(args=["methods", "rename", "Bar", "Drawer"]).exit_code == 0
    result = run(f"{HEADINGS}2026-01-01,1,EUR,Bar,R-1,,\n2026-01-01,2,EUR,Bar,R-2,,\n")
    assert result.exit_code == 0, result.output
    assert "1 there before" in result.output
    assert {line["method"] for line in export(app)} == {"Drawer"}


def test_an_export_has_what_was_imported(run, app, client, other_app):
    lines = "".join(
        f'2026-01-01T12:{number // 60 % 60:02}:{number % 60:02}Z,{number}.50,EUR,Cash,"\'=R-{number}",t-{number % 7},\n'
        for number in range(3000)
    )
    assert run(HEADINGS + lines).exit_code == 0
    exported = export(app)
    assert len(exported) == 3000
    content = app.test_cli_runner().invoke(args=["export", "csv"]).stdout_bytes
    assert run(content, app=other_app).exit_code == 0
    assert export(other_app) == exported
    assert client.get("/payments?transaction_id=%3DR-7").json[0]["amount"] == Decimal("7.50")
