"""The page /payments/cash-up in a browser"""
import base64
import functools
import hashlib
import re
import time
from decimal import Decimal

import pytest
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from ..support.browser import BROWSER, CashUpPage
from ..support.clients import client_of
from ..support.engines import on_sqlite
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, payment
from ..support.tokens import make_token
from ..support.waiting import wait_until

pytestmark = on_sqlite
in_a_browser = pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")

FILES = ["page.css", "page.js", "texts.js", "api.js", "money.js", "elements.js", "responses.js", "reports.js"]
FILES += ["payments.js", "closings.js", "forms.js"]

# A Lightning node, which is not called. Without one, the browser logs that the list of invoices is not available.
NODE = {"LIGHTNING": "phoenixd", "LIGHTNING_KEY": "secret"}

# Tokens that are made before the first test are used long after.
LATER = int(time.time()) + 24 * 60 * 60


@pytest.fixture
def get(app):
    """Send a request without a token, to any path, and read the whole response."""
    app.test_client_class = FlaskClient
    return functools.partial(app.test_client().get, buffered=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Start a browser for all tests of this module."""
    started = CashUpPage(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


def address_of(server, fragment=""):
    """Return the page's address."""
    return f"http://127.0.0.1:{server.port}/payments/cash-up{fragment}"


def post(server, path, body):
    """Send a POST that succeeds, and return the JSON of the response."""
    status, response = server.request("POST", path, body)
    assert status == 201, response
    return response


def sell(server, amount, method=CASH, currency=EUR, tip=None):
    """Record a payment and return its id."""
    body = payment(
        method_id=method, currency_id=currency, transaction_id="", amount=Decimal(amount), tip=tip and Decimal(tip)
    )
    return post(server, "/payments", body)["id"]


def close(server, *counts):
    """Close all since the last closing and return the closing's number."""
    return post(server, "/payments/closings", {"counts": counts})["number"]


def get_closing(server, number):
    """Return a closing's lines by method and currency, and the closing."""
    status, closing = server.request("GET", f"/payments/closings/{number}")
    assert status == 200
    return {(line["method"], line["currency"]): line for line in closing["lines"]}, closing


def count_closings(server):
    """Return how many closings there are."""
    return len(server.request("GET", "/payments/closings")[1] or [])


def sell_for_an_evening(server):
    """Leave 150.00 in the drawer of a first closing, then record some payments."""
    counted = {"method_id": CASH, "currency_id": EUR, "counted": Decimal("150.00"), "remaining": Decimal("150.00")}
    close(server, counted)
    for method, amount in ((CASH, "45.50"), (CASH, "32.80"), (CASH, "100.00"), (CREDIT_CARD, "165.00")):
        sell(server, amount, method)
    sell(server, "0.00012345", BITCOIN_LIGHTNING, BTC)


def test_the_page_and_its_files_need_no_token(get):
    assert get("/payments/cash-up").content_type == "text/html; charset=utf-8"
    for name in FILES:
        response = get(f"/payments/cash-up/{name}")
        assert response.status_code == 200
        assert response.content_type.startswith("text/css" if name.endswith(".css") else "text/javascript")


def test_the_page_may_run_and_ask_for_nothing_but_the_service(get):
    headers, headers_of_docs = get("/payments/cash-up").headers, get("/docs").headers
    assert headers["Content-Security-Policy"] == headers_of_docs["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["", *(f"/{name}" for name in FILES)])
def test_a_browser_caches_the_page_and_revalidates_it(get, path):
    response = get(f"/payments/cash-up{path}")
    assert response.headers["Cache-Control"] == "no-cache"
    again = get(f"/payments/cash-up{path}", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_texts_of_the_page_are_in_one_file(get):
    html = get("/payments/cash-up").text
    assert not re.sub("<!--.*?-->|<[^>]*>", "", html).strip()
    defined = set(re.findall(r"^ {4}(\w+):", get("/payments/cash-up/texts.js").text, re.MULTILINE))
    used = set(re.findall(r'data-text="(\w+)"', html))
    for name in set(FILES) - {"page.css", "texts.js"}:
        used |= set(re.findall(r'\bsay\("(\w+)"', get(f"/payments/cash-up/{name}").text))
    assert used <= defined


@pytest.mark.parametrize("name", ["__init__.py", "page.html", "PAGE.JS", "page.js/", "../methods.py"])
def test_no_other_file_is_served(app, get, name):
    assert get(f"/payments/cash-up/{name}").status_code == 401
    assert client_of(app, make_token()).get(f"/payments/cash-up/{name}").status_code == 404


def test_an_address_that_people_try_leads_to_the_page(get):
    response = get("/payments/cash-up/", base_url="http://box:9154/pos")
    assert (response.status_code, response.headers["Location"]) == (302, "http://box:9154/pos/payments/cash-up")


@in_a_browser
def test_takings_are_shown_as_bars_and_as_a_table(server, page):
    sell_for_an_evening(server)
    page.show(address_of(server))
    page.has("#takings", "EUR by method: total 343.30")
    shown = page.read("#takings")
    assert "Cash 178.30 Credit Card 165.00" in shown
    assert "Bitcoin Lightning 0.00012345" in shown
    widths = page.run("[...document.querySelectorAll('#takings .bar rect')].map(bar => bar.getAttribute('width'))")
    assert widths == ["100%", "92.5%", "100%"]


@in_a_browser
def test_tips_are_shown_by_line_method_and_user(server, page):
    sell(server, "32.80")
    sell(server, "45.50", tip="4.50")
    sell(server, "165.00", CREDIT_CARD, tip="6.00")
    page.show(address_of(server))
    page.has("#takings", "Payments Corrections Refunds Takings Tips Cash 78.30 (2) 0.00 (0) 0.00 (0) 78.30 4.50")
    page.has("#takings", "User 12 243.30 (3) 0.00 (0) 0.00 (0) 243.30 10.50")
    number = close(server)
    sell(server, "165.00", CREDIT_CARD, tip="6.00")
    for fragment, title in (("#closing-next", "X report"), (f"#closing-{number}", "Z report")):
        page.show(address_of(server, fragment))
        page.has("#report", title)
        shown = page.read("#report")
        assert "of which tips" in shown and "Tips in the takings 6.00" in shown
        assert "User 12 Credit Card EUR 165.00 6.00" in shown


@in_a_browser
def test_nothing_is_said_of_tips_where_there_are_none(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    page.has("#takings", "Takings Cash 45.50")
    assert "tips" not in page.read("body").lower()
    page.show(address_of(server, "#closing-next"))
    page.has("#report", "User 12 Cash EUR 45.50")
    assert "tips" not in page.read("body").lower()


@in_a_browser
def test_a_refund_is_shown_in_the_takings_and_the_reports(server, page):
    post(server, f"/payments/{sell(server, '45.50', CREDIT_CARD)}/refunds", {"amount": Decimal("5.50")})
    page.show(address_of(server))
    page.has("#takings", "Credit Card 45.50 (1) 0.00 (0) 5.50 (1) 40.00")
    page.has("#open", "less refunds (1) 5.50 Expected 40.00")
    page.show(address_of(server, f"#closing-{close(server)}"))
    page.has("#report", "less refunds (1) 5.50 Expected 40.00")


@in_a_browser
def test_amounts_that_no_float_holds_are_shown_exactly(server, page):
    for _ in range(2):
        sell(server, "92233720368.54775807", CASH, BTC)
    page.show(address_of(server))
    page.has("#takings", "BTC by method: total 184467440737.09551614")
    page.has("#open", "Expected 184467440737.09551614")
    page.count("Cash, BTC", "184467440737.09551613")
    page.has("#count-lines", "difference -0.00000001 short")


@in_a_browser
def test_the_last_payments_have_time_amount_method_and_tickets(server, page):
    for number in range(12):
        payment_id = sell(server, number)
    for ticket_id in ("table 4", "table 5"):
        post(server, "/payments/ticket-payments", {"payment_id": payment_id, "ticket_id": ticket_id})
    page.show(address_of(server))
    rows = page.run("[...document.querySelectorAll('#last-payments tbody tr')].map(row => row.innerText.split('\\t'))")
    assert [[cell.strip() for cell in row[1:]] for row in rows[:2]] == [
        ["11.00 EUR", "Cash", "table 4, table 5"],
        ["10.00 EUR", "Cash", "none"],
    ]
    assert re.fullmatch(r"\d+ \w+ 20\d\d, \d\d:\d\d", rows[0][0].strip())
    assert len(rows) == 10


@in_a_browser
def test_a_count_closes_and_leads_to_its_z_report(server, page):
    sell_for_an_evening(server)
    page.show(address_of(server))
    page.count("Cash, EUR", "326.30", "150")
    page.has("#count-lines", "Expected 328.30, difference -2.00 short")
    page.count("Credit Card, EUR", "165.00")
    page.click("#close-button")
    page.has("#close-outcome", "Closing 2 is done.")
    lines, closing = get_closing(server, 2)
    cash, card = lines["Cash", "EUR"], lines["Credit Card", "EUR"]
    assert (cash["counted"], cash["difference"], cash["remaining"]) == (Decimal("326.30"), Decimal(-2), Decimal(150))
    assert (card["counted"], card["difference"]) == (Decimal(165), 0)
    assert lines["Bitcoin Lightning", "BTC"]["counted"] is None
    page.click("#close-outcome a")
    page.has("#report", "Z report 2")
    shown = page.read("#report")
    assert "Takings in EUR: 343.30" in shown
    assert "Counted 326.30 Difference -2.00 short Left in drawer 150.00 Taken out 176.30" in shown
    assert closing["hash"] in shown and closing["previous_hash"] in shown


@in_a_browser
def test_a_double_click_closes_once(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    page.count("Cash, EUR", "45.50")
    page.double_click("#close-button")
    page.has("#close-outcome", "Closing 1 is done.")
    page.settle()
    assert page.read("#close-button") == "Close number 2"
    assert count_closings(server) == 1


def lose_response(page, path):
    """Let the service handle the next request to a path, and let the page see no response."""
    page.call("Fetch.enable", patterns=[{"urlPattern": f"*{path}", "requestStage": "Response"}])
    yield
    request_id = page.wait_for_event("Fetch.requestPaused")["requestId"]
    page.call("Fetch.failRequest", requestId=request_id, errorReason="ConnectionClosed")
    page.call("Fetch.disable")
    yield


@in_a_browser
def test_a_retry_after_a_lost_response_closes_once(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    page.count("Cash, EUR", "45.50")
    losing = lose_response(page, "/payments/closings")
    next(losing)
    page.click("#close-button")
    next(losing)
    page.has("#close-outcome", "it is done only once")
    page.click("#close-button")
    page.has("#close-outcome", "Closing 1 is done.")
    assert count_closings(server) == 1


@in_a_browser
def test_a_retry_after_a_lost_response_pays_out_once(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    page.type("document.querySelector('#movement-amount')", "5,40")
    page.type("document.querySelector('#movement-reason')", "Flowers")
    losing = lose_response(page, "/payments/cash-movements")
    next(losing)
    page.click("#movement-button")
    next(losing)
    page.has("#movement-outcome", "it is done only once")
    page.click("#movement-button")
    page.has("#movement-outcome", "Recorded.")
    _, movements = server.request("GET", "/payments/cash-movements")
    assert [(moved["kind"], moved["amount"], moved["reason"]) for moved in movements] == [
        ("paid_out", Decimal("5.40"), "Flowers")
    ]


@in_a_browser
def test_nothing_is_closed_without_a_count_by_mistake(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    page.click("#close-button")
    page.has("#close-outcome", "Type what you counted, or tick")
    page.count("Cash, EUR", "4x")
    page.click("#close-button")
    page.has("#count-lines", "This is not an amount. Write it as 150.00.")
    page.count("Cash, EUR", "45.50")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert page.run("document.activeElement.id") == "line-0-remaining"
    assert count_closings(server) == 0


@in_a_browser
def test_one_can_close_without_a_count(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    page.click("#uncounted")
    page.click("#close-button")
    page.has("#close-outcome", "Closing 1 is done.")
    assert get_closing(server, 1)[0]["Cash", "EUR"]["counted"] is None


@in_a_browser
def test_a_float_is_counted_before_the_first_payment(server, page):
    page.show(address_of(server))
    page.has("#close", "There is nothing to count yet.")
    option = "[...document.querySelectorAll('#another-line option')].find(line => line.textContent === 'Cash, EUR')"
    page.run(f"document.querySelector('#another-line').value = ({option}).value")
    page.click("#add-line-button")
    page.count("Cash, EUR", "150")
    page.click("#close-button")
    page.has("#close-outcome", "Closing 1 is done.")
    assert get_closing(server, 1)[0]["Cash", "EUR"]["remaining"] == Decimal(150)


@in_a_browser
@pytest.mark.parametrize("sent", [True, False], ids=["sent", "loaded again"])
def test_a_count_from_before_another_closing_is_dropped(server, page, sent):
    sell(server, "45.50")
    page.show(address_of(server))
    page.count("Cash, EUR", "40.00", "40.00")
    close(server)
    page.click("#close-button" if sent else "#reload")
    page.has("#close-outcome", "Closing 1 was done meanwhile, by you or by somebody else.")
    page.settle()
    assert page.read("#close-button") == "Close number 2"
    assert page.run("[...document.querySelectorAll('#count-lines input')].every(input => input.value === '')")
    assert count_closings(server) == 1


@in_a_browser
def test_cash_is_paid_in_and_out(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    for kind, amount, reason in (("paid_in", "50", "Change"), ("paid_out", "35.40", "Market")):
        page.click(f"[name=kind][value={kind}]")
        page.type("document.querySelector('#movement-amount')", amount)
        page.type("document.querySelector('#movement-reason')", reason)
        page.click("#movement-button")
        page.has("#movements table", reason)
        page.settle()
    shown = page.read("#movements table")
    assert "Paid in, Cash 50.00 EUR Change" in shown
    assert "Paid out, Cash 35.40 EUR Market" in shown
    page.has("#open", "Paid in 50.00 less paid out 35.40 Expected 60.10")


@in_a_browser
def test_the_service_says_what_is_wrong_with_a_count(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    page.count("Cash, EUR", "45.505")
    page.click("#close-button")
    page.has("#close-outcome .error", "2 decimals")


@in_a_browser
@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "You are not signed in."),
        ("not-valid", "The access token is not valid."),
        (make_token(exp=1), "The access token has expired: refresh it."),
    ],
    ids=["none", "not valid", "expired"],
)
def test_the_page_asks_for_a_token(server, page, token, said):
    sell(server, "45.50")
    page.show(address_of(server), token)
    assert page.read("#sign-in-reason") == said
    page.has("#takings", "Sign in to see this.")
    page.type("document.querySelector('#token')", make_token(exp=LATER))
    page.click("#sign-in-form button")
    page.has("#takings", "EUR by method: total 45.50")
    assert page.run("document.querySelector('#sign-in').hidden")


@in_a_browser
def test_a_count_survives_a_token_that_expires_meanwhile(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    page.count("Cash, EUR", "45.00")
    page.call("Network.clearBrowserCookies")
    page.call("Network.setCookie", url=address_of(server), name="accessToken", value=make_token(exp=1))
    page.click("#close-button")
    page.has("#sign-in-reason", "The access token has expired: refresh it.")
    page.type("document.querySelector('#token')", make_token(exp=LATER))
    page.click("#sign-in-form button")
    page.wait_for("document.querySelector('#sign-in').hidden")
    page.settle()
    page.click("#close-button")
    page.has("#close-outcome", "Closing 1 is done.")
    assert get_closing(server, 1)[0]["Cash", "EUR"]["counted"] == Decimal(45)


@in_a_browser
def test_an_entered_token_is_kept_until_it_is_forgotten(server, page):
    page.show(address_of(server), "")
    page.type("document.querySelector('#token')", make_token(exp=LATER))
    page.click("#sign-in-form button")
    page.wait_for("document.querySelector('#sign-in').hidden")
    page.call("Page.reload")
    page.wait_for("document.querySelector('#signed-in')?.hidden === false")
    page.settle()
    page.click("#sign-out")
    page.has("#sign-in-reason", "You are not signed in.")


@in_a_browser
def test_without_payments_read_one_counts_blind(server, page):
    sell_for_an_evening(server)
    page.show(address_of(server), make_token(exp=LATER, permissions=["payments_create"]))
    for part in ("#takings", "#open", "#last-payments", "#closings", "#movements .content"):
        page.has(part, "Not permitted: your access token does not grant payments_read.")
    page.has("#close", "You count blind")
    page.count("Cash, EUR", "326.30", "150.00")
    page.click("#close-button")
    page.has("#close-outcome", "Closing 2 is done.")
    page.settle()
    assert not re.search(r"328\.30|178\.30|165\.00|-2\.00", page.read("body"))
    assert get_closing(server, 2)[0]["Cash", "EUR"]["difference"] == Decimal(-2)
    page.type("document.querySelector('#movement-amount')", "20")
    page.type("document.querySelector('#movement-reason')", "Change")
    page.click("#movement-button")
    page.has("#movement-outcome", "Recorded.")


@in_a_browser
def test_without_payments_create_one_only_reads(server, page):
    sell(server, "45.50")
    page.show(address_of(server), make_token(exp=LATER, permissions=["payments_read"]))
    page.has("#takings", "EUR by method: total 45.50")
    for part in ("#close", "#movements"):
        page.has(part, "Not permitted: your access token does not grant payments_create.")
    assert page.run("[...document.querySelectorAll('#overview form')].every(form => form.hidden)")


@in_a_browser
def test_a_z_report_is_printed_on_one_page_with_its_hash(server, page):
    sell_for_an_evening(server)
    number = close(server)
    page.show(address_of(server, f"#closing-{number}"))
    page.has("#report", f"Z report {number}")
    page.run("window.print = () => { window.printed = true; }")
    page.click("#report button")
    assert page.run("window.printed")
    pdf = base64.b64decode(page.call("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    page.call("Emulation.setEmulatedMedia", media="print")
    printed = page.read("body")
    page.call("Emulation.setEmulatedMedia", media="")
    assert printed.startswith(f"Z report {number} Business day")
    assert get_closing(server, number)[1]["hash"] in printed
    assert "Journal" not in printed and "Reload" not in printed


@in_a_browser
def test_an_x_report_is_printed(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    page.click("#open a")
    page.has("#report", "X report, closing 1 still open")
    page.has("#report", "Expected 45.50")
    page.click("#report a")
    page.wait_for("!document.querySelector('#overview').hidden")
    assert count_closings(server) == 0


def save(page, folder, number, button):
    """Press a button of a report that saves a file. Return the file's bytes."""
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.click(f"#report button:nth-of-type({button})")
    # Chromium gives a file its name when it is complete.
    return wait_until(lambda: next(folder.glob(f"closing-{number}.*[!d]"), None)).read_bytes()


JOURNAL, ARCHIVE = 2, 3


@in_a_browser
@pytest.mark.parametrize("entered", [True, False], ids=["token", "cookie"])
def test_the_sealed_file_has_the_hash_that_is_shown(server, page, tmp_path, entered):
    sell(server, "45.50")
    number = close(server)
    page.show(address_of(server, f"#closing-{number}"), "" if entered else None)
    if entered:
        page.type("document.querySelector('#token')", make_token(exp=LATER))
        page.click("#sign-in-form button")
    page.has("#report", f"Z report {number}")
    sealed = hashlib.sha256(save(page, tmp_path, number, ARCHIVE)).hexdigest()
    assert sealed == get_closing(server, number)[1]["hash"]
    assert sealed in page.read("#report")


@in_a_browser
def test_the_journal_is_saved_as_csv(server, page, tmp_path):
    sell(server, "45.50")
    number = close(server)
    page.show(address_of(server, f"#closing-{number}"))
    page.has("#report", f"Z report {number}")
    assert b",45.50," in save(page, tmp_path, number, JOURNAL)


@in_a_browser
def test_older_closings_are_shown_on_demand(server, page):
    for _ in range(13):
        close(server)
    page.show(address_of(server))
    numbers = "[...document.querySelectorAll('#closings tbody tr a')].map(link => link.innerText)"
    assert page.run(numbers) == [f"Z report {number}" for number in range(13, 3, -1)]
    page.click("#older")
    assert page.wait_for(f"({numbers}).length === 13 && {numbers}")[-1] == "Z report 1"
    assert page.run("document.querySelector('#older').hidden")


@in_a_browser
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_scrolls_sideways(server, page, width):
    for amount in ("9999999999999.99", "99999999999999.99"):
        payment_id = sell(server, amount, tip=amount)
    sell(server, "92233720368.54775807", BITCOIN_LIGHTNING, BTC)
    post(server, "/payments/ticket-payments", {"payment_id": payment_id, "ticket_id": "x" * 255})
    body = {"kind": "paid_in", "method_id": CASH, "currency_id": EUR, "amount": Decimal("0.01"), "reason": "y" * 255}
    post(server, "/payments/cash-movements", body)
    for fragment in ("", "#closing-next"):
        page.show(address_of(server, fragment), width=width)
        page.has("#report" if fragment else "#last-payments", "9999999999999.99")
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth"), fragment


@in_a_browser
def test_each_field_has_a_label(server, page):
    sell(server, "45.50")
    page.show(address_of(server))
    unlabelled = "[...document.querySelectorAll('input, select')].filter(field => !field.labels[0]?.textContent.trim())"
    assert page.run(f"{unlabelled}.map(field => field.id)") == []


@in_a_browser
def test_only_the_service_is_called_and_the_console_is_empty(start_server, page):
    server = start_server(**NODE)
    sell_for_an_evening(server)
    page.show(address_of(server))
    page.count("Cash, EUR", "328.30")
    page.click("#close-button")
    page.has("#close-outcome", "Closing 2 is done.")
    page.click("#close-outcome a")
    page.has("#report", "Z report 2")
    page.settle()
    assert all(url.startswith(f"http://127.0.0.1:{server.port}/payments") for url in page.asked())
    assert page.complaints() == []


@in_a_browser
def test_the_page_works_where_another_program_mounts_it(make_app, serve, page):
    app = make_app(**NODE)
    page.show(serve(DispatcherMiddleware(NotFound(), {"/pos": app})) + "/pos/payments/cash-up")
    page.has("#takings", "There are no takings today.")
    page.has("#closings", "There are no closings yet.")
    assert page.complaints() == []
