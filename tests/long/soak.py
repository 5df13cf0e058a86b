"""Kill the service or its PostgreSQL repeatedly while tills pay, and check that nothing is lost or duplicated

    python -m tests.long.soak --kills 100 --seed 7
"""
import argparse
import contextlib
import http.client
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from time import sleep
from typing import Any
from uuid import UUID

from ..support.migrating import migrate_new
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR
from ..support.postgresql import PostgresqlServer
from ..support.project import PROJECT, environment
from ..support.rows import Rows
from ..support.server import Server
from ..support.tokens import SECRET

DECIMALS = {EUR: 2, BTC: 8}
MINOR_UNIT = Decimal(1)
TILLS = 8
TABLES = 20
RUNS = ["sqlite", "postgresql", "postgresql restarted"]

Answer = tuple[int, Any] | None


@dataclass
class Ledger:
    """What the tills know: what was acknowledged, and how often they had to retry."""

    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)
    refunds: dict[str, str] = field(default_factory=dict)
    transactions: list[str] = field(default_factory=list)
    repeated: int = 0
    wrong_answers: list[Any] = field(default_factory=list)

    def add(self, other: "Ledger") -> None:
        """Take in what another till knows."""
        self.payments |= other.payments
        self.links += other.links
        self.refunds |= other.refunds
        self.transactions += other.transactions
        self.repeated += other.repeated
        self.wrong_answers += other.wrong_answers


class Till:
    """A client that pays, links and refunds until the end of the run and records the responses."""

    def __init__(self, number: int, seed: int, box: "Box") -> None:
        self.number, self.box, self.ledger = number, box, Ledger()
        self.random = random.Random(f"{seed} till {number}")
        self.keys = (f"till-{number}-key-{count}" for count in itertools.count())

    def work(self) -> None:
        """Pay, with links to a few tickets for each payment and some refunds, until the box is about to close."""
        for count in itertools.count():
            if self.box.closing.is_set():
                return
            payment_id = self.pay(self.random.choice(["", f"till-{self.number}-{count}"]))
            if payment_id:
                linked = {ticket_id for found, ticket_id in self.ledger.links[-1:] if found == payment_id}
                tables = self.random.sample(range(TABLES), self.random.choice([1, 1, 2]))
                for ticket_id in {f"table-{table}" for table in tables} - linked:
                    self.link(payment_id, ticket_id)
                if self.random.random() < 1 / 4:
                    self.refund(payment_id)

    def pay(self, transaction_id: str) -> str | None:
        """Post a payment; return its id, None if that is not known."""
        currency, decimals = self.random.choice([*DECIMALS.items()])
        body = {
            "method_id": self.random.choice([CASH, CREDIT_CARD, BITCOIN_LIGHTNING]),
            "currency_id": currency,
            "transaction_id": transaction_id,
            "amount": Decimal(self.random.randrange(4, 10**15)).scaleb(-decimals),
        }
        if self.random.random() < 1 / 2:
            body["tip"] = MINOR_UNIT.scaleb(-decimals)
        # Some tills use no keys. A 409 tells them that their payment is recorded.
        keyed = not transaction_id or self.random.random() < 1 / 2
        tickets = [{"ticket_id": "table-0", "amount": MINOR_UNIT.scaleb(-decimals)}]
        # Without a key, a till whose payment was recorded before does not learn its id.
        with_tickets = body | {"tickets": tickets if keyed and self.random.random() < 1 / 2 else []}
        status, answer = self.send("/payments", with_tickets, {"Idempotency-Key": next(self.keys)} if keyed else {})
        if status == 201:
            self.ledger.payments[answer["id"]] = body
            self.ledger.links += [(answer["id"], ticket["ticket_id"]) for ticket in with_tickets["tickets"]]
            return answer["id"]
        if status == 409 and not keyed:
            self.ledger.transactions.append(transaction_id)
        else:
            self.ledger.wrong_answers.append((body, status, answer))
        return None

    def link(self, payment_id: str, ticket_id: str) -> None:
        """Link a payment to a ticket."""
        body: dict[str, Any] = {"payment_id": payment_id, "ticket_id": ticket_id}
        if self.random.random() < 1 / 2:
            body["amount"] = Decimal(0)
        status, answer = self.send("/payments/ticket-payments", body, {"Idempotency-Key": next(self.keys)})
        if status == 201:
            self.ledger.links.append((payment_id, ticket_id))
        else:
            self.ledger.wrong_answers.append((body, status, answer))

    def refund(self, payment_id: str) -> None:
        """Refund the smallest amount of a payment, by any method."""
        decimals = DECIMALS[self.ledger.payments[payment_id]["currency_id"]]
        body = {"amount": MINOR_UNIT.scaleb(-decimals), "method_id": self.random.choice([CASH, CREDIT_CARD])}
        status, answer = self.send(f"/payments/{payment_id}/refunds", body, {"Idempotency-Key": next(self.keys)})
        if status == 201:
            self.ledger.refunds[answer["id"]] = payment_id
        else:
            self.ledger.wrong_answers.append((body, status, answer))

    def send(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        """Retry a request until there is a response, or the box is closed."""
        while not self.box.closed.is_set():
            answer = self.box.ask("POST", path, body, headers)
            if answer and answer[0] != 503:
                return answer
            self.ledger.repeated += 1
        return 503, None


class Box:
    """The service on a database. Both may be killed and restarted."""

    def __init__(self, url: str) -> None:
        self.url = url
        # Tills start nothing more once it is closing, and do not retry once it is closed.
        self.closing, self.closed = threading.Event(), threading.Event()
        self.start()

    def start(self) -> None:
        """Start the service."""
        self.server = self.launch()
        self.server.wait_until_serving()
        assert self.server.port, self.server.log

    def launch(self) -> Server:
        """Start the service without waiting for it."""
        return Server(PROJECT, {"DATABASE_URL": self.url, "JWT_SECRET": SECRET})

    def kill(self) -> None:
        """Kill the service."""
        self.server.stop(signal.SIGKILL)

    def ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        """Send a request and return its response, None if there was none."""
        try:
            answer = self.server.request(method, path, body, **headers)
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            answer = None
        if answer is None or answer[0] == 503:
            # Immediate retries would delay the restart.
            sleep(1 / 50)
        return answer


def kill_service(box: Box, chance: random.Random) -> None:
    """Kill the service and restart it, sometimes in the middle of its start."""
    box.kill()
    while chance.random() < 1 / 4:
        started = box.launch()
        sleep(chance.uniform(0, 1))
        started.stop(signal.SIGKILL)
    box.start()


def run(engine: str, kills: int, seed: int) -> str:
    """Let tills pay while something is killed so many times; return a line of figures.

    Raises an AssertionError if something that was acknowledged is not there exactly once, or is there otherwise.
    """
    chance = random.Random(f"{seed} kills")
    with contextlib.ExitStack() as things:
        if engine == "sqlite":
            url = f"sqlite:///{things.enter_context(tempfile.TemporaryDirectory())}/payments.db"
        else:
            postgresql = PostgresqlServer()
            things.callback(postgresql.remove)
            url = postgresql.url()
        migrate_new(url)
        box = Box(url)
        things.callback(lambda: box.server.stop(signal.SIGKILL))
        tills = [Till(number, seed, box) for number in range(TILLS)]
        closings: list[Future[Answer]] = []
        with ThreadPoolExecutor(TILLS + 1) as threads:
            working = [threads.submit(till.work) for till in tills]
            try:
                for _ in range(kills):
                    sleep(chance.uniform(0, 1))
                    closings.append(threads.submit(box.ask, "POST", "/payments/closings", {}, {}))
                    if engine == "postgresql restarted":
                        postgresql.stop(chance.choice([signal.SIGINT, signal.SIGQUIT]))
                        sleep(chance.uniform(0, 1) / 2)
                        postgresql.start()
                    else:
                        kill_service(box, chance)
                sleep(1)
            except BaseException:
                box.closed.set()
                raise
            finally:
                box.closing.set()
        ledger = Ledger()
        for till, worked in zip(tills, working):
            worked.result()
            ledger.add(till.ledger)
        box.kill()
        box.start()
        check(box, ledger)
        verify(box, {closing.result()[1]["number"] for closing in closings if (closing.result() or [0])[0] == 201})
    return (
        f"{engine}, seed {seed}, {kills} kills: {len(ledger.payments)} payments, {len(ledger.links)} links and "
        f"{len(ledger.refunds)} refunds were acknowledged and are there, {len(ledger.transactions)} retries were "
        f"answered 409, {ledger.repeated} requests went unanswered or got 503 and were sent again"
    )


def check(box: Box, ledger: Ledger) -> None:
    """Hold what is stored against what was acknowledged."""
    assert not ledger.wrong_answers, ledger.wrong_answers[:5]
    assert ledger.payments and ledger.links
    listed = box.server.request("GET", "/payments")[1]
    stored = {payment["id"]: payment for payment in listed}
    assert len(stored) == len(listed)
    for payment_id, body in ledger.payments.items():
        found = stored[payment_id]
        assert found == body | {"id": payment_id, "transaction_id": body["transaction_id"] or payment_id}
        assert str(found["amount"]) == f"{body['amount']:f}"
    transactions = [payment["transaction_id"] for payment in listed]
    assert len(transactions) == len(set(transactions))
    assert set(ledger.transactions) <= set(transactions)
    assert len(listed) == len(ledger.payments) + len(ledger.transactions)

    linked = []
    for table in range(TABLES):
        _, found = box.server.request("GET", f"/payments/ticket-payments/by-ticket/table-{table}")
        linked += [(payment["payment_id"], payment["ticket_id"]) for payment in found or []]
    assert sorted(linked) == sorted(ledger.links)

    rows = Rows(box.url)
    assert rows.all("SELECT count(*) FROM payment") == [(len(listed),)]
    assert rows.all("SELECT count(*) FROM ticket_payment") == [(len(linked),)]
    created = "SELECT count(*), count(DISTINCT payment_id) FROM history WHERE action = 'created'"
    assert rows.all(created) == [(len(listed), len(listed))]
    assert rows.all("SELECT count(*) FROM history WHERE action = 'linked'") == [(len(linked),)]
    refunds = {str(UUID(str(refund_id))): str(UUID(str(payment_id))) for refund_id, payment_id in rows.all(
        "SELECT id, payment_id FROM refund"
    )}
    assert refunds == ledger.refunds
    if rows.is_sqlite:
        assert rows.all("PRAGMA integrity_check") == [("ok",)]
        assert rows.all("PRAGMA foreign_key_check") == []
    rows.connection.close()


def verify(box: Box, numbers: set[int]) -> None:
    """Check that closings are there if they were acknowledged, and that all that was sealed is as it was."""
    _, found = box.server.request("GET", "/payments/closings")
    assert numbers <= {closing["number"] for closing in found or []}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "verify"]
    env = environment(DATABASE_URL=box.url, JWT_SECRET=SECRET)
    result = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="make soak", description="Kill the service while tills pay.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    for engine in RUNS:
        print(run(engine, given.kills, given.seed), flush=True)


if __name__ == "__main__":
    main()
