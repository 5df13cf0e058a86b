"""Lightning invoices are settled, whatever dies or fails in between"""
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest

from ..support.engines import on_one_engine
from ..support.faketime import needs_faketime
from ..support.lightning import LIGHTNING, new_address, settings_of, wanted
from ..support.payments import BITCOIN_LIGHTNING, EUR, payment
from ..support.postgresql import programs
from ..support.project import PROJECT, environment
from ..support.tokens import SECRET, make_token
from ..support.waiting import wait_until


@pytest.fixture
def start(start_server, lightning_settings):
    """Start services that ask the fake node."""
    return lambda **changed: start_server(**lightning_settings | changed)


@pytest.fixture
def run(database_url, lightning_settings):
    """Run a command; return its exit code and its output."""

    def run(*command):
        result = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", *command],
            cwd=PROJECT,
            env=environment(DATABASE_URL=database_url, JWT_SECRET=SECRET, **lightning_settings),
            capture_output=True,
            text=True,
        )
        return result.returncode, result.stdout + result.stderr

    return run


def offer(server, address=None, **changed):
    """Ask for an invoice, and return its address and the invoice."""
    address = address or new_address()
    status, invoice = server.request("PUT", address, wanted(**changed))
    assert status in (200, 201), invoice
    return address, invoice


def read(server, address):
    """Return an invoice."""
    status, invoice = server.request("GET", address)
    assert status == 200
    return invoice


def wait_for(server, address, state):
    """Wait until an invoice is in a state, and return it."""
    return wait_until(lambda: (found := read(server, address))["state"] == state and found)


def payments_of(server, ticket_id="table-4"):
    """Return the payments of a ticket."""
    return server.request("GET", f"/payments/ticket-payments/by-ticket/{ticket_id}")[1] or []


def check_recorded_once(server, invoice):
    """Check that an invoice is recorded as one payment, with its ticket and its history."""
    (recorded,) = payments_of(server)
    assert (recorded["method_id"], recorded["currency_id"]) == (BITCOIN_LIGHTNING, EUR)
    assert recorded["transaction_id"] == invoice["payment_hash"]
    assert recorded["amount"] == recorded["share"] == Decimal("12.40")
    history = server.request("GET", f"/payments/{recorded['id']}/history")[1]
    assert [entry["action"] for entry in history] == ["created", "linked"]
    assert {entry["user_id"] for entry in history} == {"12"}
    assert len(server.request("GET", "/payments")[1]) == 1


def test_a_paid_invoice_becomes_a_payment_by_itself(start, node, run):
    server = start()
    address, invoice = offer(server)
    node.pay(invoice["payment_hash"])
    paid = wait_for(server, address, "paid")
    check_recorded_once(server, invoice)
    assert payments_of(server)[0]["id"] == paid["payment_id"]
    assert run("verify")[0] == 0


def test_waiting_for_a_payment_ends_when_it_is_recorded(start, node):
    server = start()
    address, invoice = offer(server)
    with ThreadPoolExecutor(1) as tablet:
        answer = tablet.submit(server.request, "GET", f"{address}?wait=30")
        node.pay(invoice["payment_hash"])
        assert answer.result()[1]["state"] == "paid"


def test_a_wait_hears_of_what_another_copy_does(start, node):
    server, other = start(), start()
    address, _ = offer(server)
    with ThreadPoolExecutor(1) as tablet:
        answer = tablet.submit(server.request, "GET", f"{address}?wait=30")
        assert other.request("DELETE", address)[0] == 204
        assert answer.result()[1]["state"] == "expired"


@on_one_engine
def test_waits_leave_half_of_the_threads_and_end_at_a_stop(start):
    server = start(THREADS="4")
    address, _ = offer(server)
    with ThreadPoolExecutor(6) as tablets:
        started = time.monotonic()
        answers = [tablets.submit(server.request, "GET", f"{address}?wait=30") for _ in range(6)]
        # More than half do not wait.
        wait_until(lambda: sum(answer.done() for answer in answers) == 4)
        assert server.request("GET", "/payments")[0] == 204
        # Making an invoice goes first.
        offer(server)
        assert server.stop() == 0
        assert {answer.result()[1]["state"] for answer in answers} == {"open"}
    assert time.monotonic() - started < 30


class Stalling:
    """A WSGI application in front of a node: it keeps back the answers to some calls until it is told to go on."""

    def __init__(self, node, stalls):
        self.node, self.stalls = node, stalls
        self.stalled, self.goes_on = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        """Let the node do what is asked, and keep back its answer."""
        answer = self.node(environ, start_response)
        if self.stalls(environ["REQUEST_METHOD"], environ["PATH_INFO"]) and not self.goes_on.is_set():
            self.stalled.set()
            self.goes_on.wait(timeout=60)
        return answer


@pytest.fixture
def stall(node, serve):
    """Serve the node so that it keeps back the answers to some calls. Return that and the settings of a service."""
    with contextlib.ExitStack() as ended:

        def stall(stalls):
            stalling = Stalling(node, stalls)
            ended.callback(stalling.goes_on.set)
            return stalling, settings_of(node, serve(stalling, threaded=True))

        yield stall


def send_and_forget(server, address):
    """Ask for an invoice, and do not wait for the response."""
    return server.send("PUT", address, wanted())


def test_a_kill_before_the_node_is_asked_loses_nothing(start, node):
    server, address = start(), new_address()
    node.trouble = "hang"
    with contextlib.closing(send_and_forget(server, address)):
        wait_until(lambda: node.calls)
        server.stop(signal.SIGKILL)
    node.recover()
    server = start()
    assert server.request("GET", address)[0] == 404
    settle_and_check(server, node, address)


def test_a_kill_before_the_offer_is_stored_loses_nothing(start_server, node, stall):
    stalling, settings = stall(lambda method, _: method == "POST")
    server, address = start_server(**settings), new_address()
    with contextlib.closing(send_and_forget(server, address)):
        assert stalling.stalled.wait(timeout=60)
        server.stop(signal.SIGKILL)
    stalling.goes_on.set()
    server = start_server(**settings)
    assert server.request("GET", address)[0] == 404
    settle_and_check(server, node, address)
    # The one that was made before is offered.
    assert len(node.invoices) == 1


def test_a_kill_after_the_offer_is_stored_loses_nothing(start, node):
    server = start()
    address, invoice = offer(server)
    server.stop(signal.SIGKILL)
    node.pay(invoice["payment_hash"])
    server = start()
    wait_for(server, address, "paid")
    check_recorded_once(server, invoice)


def test_a_kill_before_the_look_is_answered_loses_nothing(start_server, node, stall):
    stalling, settings = stall(lambda method, path: method == "GET" and path.startswith("/api/v1/payments/"))
    server = start_server(**settings)
    address, invoice = offer(server)
    node.pay(invoice["payment_hash"])
    assert stalling.stalled.wait(timeout=60)
    server.stop(signal.SIGKILL)
    stalling.goes_on.set()
    server = start_server(**settings)
    wait_for(server, address, "paid")
    check_recorded_once(server, invoice)


def test_a_kill_before_the_payment_is_committed_loses_nothing(start, node, rows):
    server = start()
    address, invoice = offer(server)
    rows.lock()
    node.pay(invoice["payment_hash"])
    node.calls.clear()
    wait_until(lambda: node.calls)
    server.stop(signal.SIGKILL)
    rows.unlock()
    server = start()
    wait_for(server, address, "paid")
    check_recorded_once(server, invoice)


def test_a_kill_after_the_payment_is_committed_doubles_nothing(start, node):
    server = start()
    address, invoice = offer(server)
    node.pay(invoice["payment_hash"])
    wait_for(server, address, "paid")
    server.stop(signal.SIGKILL)
    server = start()
    assert read(server, address)["state"] == "paid"
    check_recorded_once(server, invoice)


def settle_and_check(server, node, address):
    """Ask for an invoice again, pay it, and check that it is recorded once."""
    _, invoice = offer(server, address)
    node.pay(invoice["payment_hash"])
    wait_for(server, address, "paid")
    check_recorded_once(server, invoice)


def test_copies_and_the_command_record_each_payment_once(start, node, run):
    servers = [start(), start()]
    with ThreadPoolExecutor(8) as tills:
        invoices = list(tills.map(lambda number: offer(servers[number % 2])[1], range(40)))
        for invoice in invoices:
            node.pay(invoice["payment_hash"])
        commands = [tills.submit(run, "settle") for _ in range(3)]
        assert [command.result()[0] for command in commands] == [0, 0, 0]
    wait_until(lambda: len(servers[0].request("GET", "/payments")[1] or []) >= 40)
    recorded = payments_of(servers[1])
    assert sorted(found["transaction_id"] for found in recorded) == sorted(made["payment_hash"] for made in invoices)
    assert all(found["share"] == Decimal("12.40") for found in recorded)
    assert len(servers[0].request("GET", f"{LIGHTNING}?state=paid")[1]) == 40
    assert run("verify")[0] == 0


def test_a_hash_recorded_by_hand_at_the_same_time_is_not_doubled(start, node):
    server = start()
    invoices = [offer(server)[1] for _ in range(20)]

    def record_by_hand(invoice):
        node.pay(invoice["payment_hash"])
        # The thread looks each second.
        body = payment(
            method_id=BITCOIN_LIGHTNING, transaction_id=invoice["payment_hash"], amount=Decimal("12.40"),
            tickets=[{"ticket_id": "table-4", "amount": Decimal("12.40")}],
        )
        return server.request("POST", "/payments", body)[0]

    with ThreadPoolExecutor(4) as tills:
        assert set(tills.map(record_by_hand, invoices)) <= {201, 409}
    for invoice in invoices:
        wait_for(server, f"{LIGHTNING}/{invoice['id']}", "paid")
    recorded = payments_of(server)
    assert sorted(found["transaction_id"] for found in recorded) == sorted(made["payment_hash"] for made in invoices)
    assert len(server.request("GET", "/payments")[1]) == 20


def test_two_copies_that_are_asked_at_once_offer_the_same(start):
    servers = [start(), start()]
    with ThreadPoolExecutor(4) as tills:
        for _ in range(10):
            address = new_address()
            offers = list(tills.map(lambda number: offer(servers[number % 2], address)[1], range(4)))
            assert len({invoice["bolt11"] for invoice in offers}) == 1


@on_one_engine
def test_a_hung_node_leaves_half_of_the_threads(start, node):
    server = start(THREADS="4")
    node.trouble = "hang"
    addresses = [new_address() for _ in range(6)]
    with ThreadPoolExecutor(6) as tills:
        answers = [tills.submit(server.request, "PUT", address, wanted()) for address in addresses]
        # Those that are too many are rejected.
        wait_until(lambda: sum(answer.done() for answer in answers) >= 4)
        assert {answer.result()[0] for answer in answers if answer.done()} == {503}
        assert server.request("POST", "/payments", payment())[0] == 201
        node.recover()
        assert sorted(answer.result()[0] for answer in answers) == [201, 201, 503, 503, 503, 503]
    for address in addresses:
        offer(server, address)


@on_one_engine
def test_a_hung_node_does_not_keep_the_service_from_stopping(start, node):
    server = start()
    offer(server)
    node.calls.clear()
    node.trouble = "hang"
    wait_until(lambda: node.calls)
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.log)


def test_a_payment_that_could_not_be_stored_is_recorded_later(start, node, rows):
    server = start()
    address, invoice = offer(server)
    rows.lock()
    node.pay(invoice["payment_hash"])
    wait_until(lambda: [line for line in server.log if "cannot be settled now" in line])
    rows.unlock()
    wait_for(server, address, "paid")
    check_recorded_once(server, invoice)


@needs_faketime
@on_one_engine
@pytest.mark.parametrize("jump", [timedelta(days=400), -timedelta(days=400)], ids=str)
def test_money_is_recorded_whatever_the_clock_does(start_server, lightning_settings, node, clock, jump):
    token = make_token(exp=int(time.time()) + timedelta(days=800) // timedelta(seconds=1))
    server = start_server(command=clock.command, **lightning_settings)
    address = new_address()
    invoice = server.request("PUT", address, wanted(), Cookie=f"accessToken={token}")[1]
    # Seen once, before the clock is set.
    wait_until(lambda: [call for call in node.calls if invoice["payment_hash"] in call])
    clock.set(jump)
    node.pay(invoice["payment_hash"])

    def is_paid():
        return server.request("GET", address, Cookie=f"accessToken={token}")[1]["state"] == "paid"

    wait_until(is_paid)


@needs_faketime
@on_one_engine
def test_an_invoice_of_a_clock_that_was_years_behind_is_watched(start_server, lightning_settings, node, clock):
    token = make_token(exp=int(time.time()) + timedelta(days=800) // timedelta(seconds=1))
    clock.set(-timedelta(days=400))
    server = start_server(command=clock.command, **lightning_settings)
    address = new_address()
    invoice = server.request("PUT", address, wanted(), Cookie=f"accessToken={token}")[1]
    server.stop(signal.SIGKILL)
    clock.set(timedelta())
    server = start_server(command=clock.command, **lightning_settings)
    assert server.request("GET", address)[1]["state"] == "expired"
    # The node is asked, also once it has said that nothing has come.
    for _ in range(2):
        node.calls.clear()
        wait_until(lambda: [call for call in node.calls if invoice["payment_hash"] in call])
    node.pay(invoice["payment_hash"])
    wait_for(server, address, "paid")


def test_a_restored_backup_asks_again(engine, start, node, run, tmp_path, monkeypatch):
    if engine == "postgresql":
        if not (programs() / "pg_dump").exists():
            pytest.skip("pg_dump is not in the wheel")
        monkeypatch.setenv("PATH", f"{programs()}:{os.environ['PATH']}")
    server = start()
    address, invoice = offer(server)
    assert run("backup", str(tmp_path / "backups"))[0] == 0
    node.pay(invoice["payment_hash"])
    wait_for(server, address, "paid")
    server.stop()
    (backup,) = (tmp_path / "backups").iterdir()
    code, output = run("restore", "--force", str(backup))
    assert code == 0, output
    server = start()
    wait_for(server, address, "paid")
    check_recorded_once(server, invoice)
    assert run("verify")[0] == 0
