"""Compare the service with a constant response of waitress, large databases with small ones, and a long list with a
script that writes the same rows

    python -m tests.long.bench --engine postgresql --seed 7

All in one run and in turns, because only ratios mean something on another machine. The client is this module's own, in
a process of its own. It keeps connections busy and hardly reads the answers; the table says how much of a processor it
took at most, by which one sees that it did not hold up what it measured.
"""
import argparse
import contextlib
import itertools
import os
import platform
import random
import re
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

from ..support.migrating import migrate_new
from ..support.payments import CASH, EUR
from ..support.postgresql import PostgresqlDatabases, PostgresqlServer
from ..support.project import PROJECT
from ..support.rows import Rows
from ..support.server import Server
from ..support.tokens import SECRET, in_a_day, make_token
from .bench_list import read_list, resident, write_out

CONNECTIONS = 8
THREADS = 8
ROUNDS = 5
SECONDS = 2
FEW, MANY = 1000, 1_000_000
STARTS = 5
LISTS = 3
IMPORTS = "import flask, flask_smorest, peewee, jwt, waitress"
PACKAGES = ["flask", "flask-smorest", "peewee", "pyjwt", "waitress", "marshmallow", "msgspec"]

FLOOR = [PROJECT / "tests" / "long" / "floor.py"]
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)

# Numbered payments, and the history entry of each.
NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
NUMBERED_ID = {
    "sqlite": "printf('00000000000070008000%012x', n)",
    "postgresql": "CAST('00000000000070008000' || lpad(to_hex(n), 12, '0') AS UUID)",
}
PAYMENTS = """
INSERT INTO payment (id, method_id, currency_id, transaction_id, minor_units, version, created_at, changed_at)
{numbers} SELECT {id}, {cash}, {eur}, 'txn-' || n, n, 1, {moment}, {moment} FROM numbers
"""
HISTORY = """
INSERT INTO history (payment_id, at, user_id, request_id, action, after)
{numbers} SELECT {id}, {moment}, '12', 'bench', 'created', '{{"amount":1.00}}' FROM numbers
"""


# A posting for each payment, in closings and days of POSTINGS_A_DAY; the last is open, and its day is today.
POSTINGS_A_DAY = 1000
REPORTS = {"open closing": "/payments/closings/next", "takings of a day": "/payments/takings"}
# Postings in the smaller of the two databases whose reports are compared.
SOME = 10_000
POSTINGS = """
INSERT INTO posting (history_id, method_id, currency_id, user_id, kind, closing, business_date, minor_units)
{numbers} SELECT n, {cash}, {eur}, '12', 'payment', 1 + (n - 1) / {a_day}, {date}, n FROM numbers
"""
BUSINESS_DATE = {
    "sqlite": "date('{today}', '-' || ({last} - (n - 1) / {a_day}) || ' days')",
    "postgresql": "date '{today}' - CAST({last} - (n - 1) / {a_day} AS INTEGER)",
}


class Measured(NamedTuple):
    """A client's measurements: the seconds each response took, the seconds in all, and its share of a processor."""

    answers: list[Any]
    seconds: Any
    busy: Any

    def rate(self) -> Any:
        """Return the responses in a second."""
        return len(self.answers) / self.seconds


def id_of(number: int) -> str:
    """Return the id of a payment that `fill` has inserted."""
    return f"00000000-0000-7000-8000-{number:012x}"


def fill(url: str, count: int) -> None:
    """Insert a number of payments into a database beside the service."""
    rows = Rows(url)
    engine = "sqlite" if rows.is_sqlite else "postgresql"
    parts = {"numbers": NUMBERS.format(count=count), "id": NUMBERED_ID[engine]}
    parts |= {"moment": "'2026-01-01 00:00:00.000000+00:00'", "cash": f"'{CASH}'", "eur": f"'{EUR}'"}
    if rows.is_sqlite:
        parts |= {name: parts[name].replace("-", "") for name in ("cash", "eur")}
    else:
        types = {"cash": "UUID", "eur": "UUID", "moment": "TIMESTAMPTZ"}
        parts |= {name: f"CAST({parts[name]} AS {type_})" for name, type_ in types.items()}
    last = (count - 1) // POSTINGS_A_DAY
    parts |= {"a_day": POSTINGS_A_DAY, "today": datetime.now(timezone.utc).date(), "last": last}
    parts["date"] = BUSINESS_DATE[engine].format(**parts)
    for statement in (PAYMENTS, HISTORY, POSTINGS):
        rows.execute(statement.format(**parts))
    rows.execute(f"UPDATE open_closing SET number = {last + 1}")
    rows.execute("ANALYZE")
    rows.connection.close()


def gets(payments: int, seed: str) -> Iterator[bytes]:
    """Yield requests that read a random payment of the first ones."""
    chance = random.Random(seed)
    cookie = f"Cookie: accessToken={make_token(exp=in_a_day())}"
    while True:
        yield f"GET /payments/{id_of(chance.randint(1, payments))} HTTP/1.1\r\nHost: bench\r\n{cookie}\r\n\r\n".encode()


def posts(payments: int, seed: str) -> Iterator[bytes]:
    """Yield requests that record a payment."""
    headers = f"Host: bench\r\nCookie: accessToken={make_token(exp=in_a_day())}\r\nContent-Type: application/json"
    known = f'"method_id": "{CASH}", "currency_id": "{EUR}"'
    for number in itertools.count():
        body = f'{{{known}, "transaction_id": "{seed}-{number}", "amount": {number % 1000}.50}}'
        yield f"POST /payments HTTP/1.1\r\n{headers}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


REQUESTS = {"GET": gets, "POST": posts}


def ask(port: int, method: str, payments: int, seed: str, seconds: Any) -> Measured:
    """Send requests on CONNECTIONS connections for some seconds, one after the other on each."""
    requests = REQUESTS[method](payments, seed)
    answers = []
    with contextlib.ExitStack() as things:
        waiting = things.enter_context(selectors.DefaultSelector())
        began, worked = perf_counter(), process_time()
        for _ in range(CONNECTIONS):
            connection = things.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sent = perf_counter()
            connection.sendall(next(requests))
            waiting.register(connection, selectors.EVENT_READ, [sent, b""])
        while waiting.get_map():
            for key, _ in waiting.select():
                connection, state = key.fileobj, key.data
                state[1] += connection.recv(2**16)
                if not is_whole(state[1]):
                    continue
                now = perf_counter()
                answers.append(now - state[0])
                if now - began > seconds:
                    waiting.unregister(connection)
                    continue
                state[:] = now, b""
                connection.sendall(next(requests))
        return Measured(answers, perf_counter() - began, (process_time() - worked) / (perf_counter() - began))


def is_whole(answer: bytes) -> bool:
    """Tell whether a response is complete. Raises an AssertionError for an error."""
    head, found, body = answer.partition(b"\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), answer or "the service closed the connection"
    return bool(found) and len(body) == int(LENGTH.search(head + b"\r\n")[1])


class Bench:
    """The floor, the services that are compared, each on its own database, and the client."""

    def __init__(self, engine: str, seed: int, things: contextlib.ExitStack) -> None:
        self.seed, self.things = seed, things
        self.folder = Path(things.enter_context(tempfile.TemporaryDirectory()))
        self.postgresql = None
        if engine == "postgresql":
            server = PostgresqlServer()
            things.callback(server.remove)
            self.postgresql = PostgresqlDatabases(server.url())
            things.callback(self.postgresql.close)
        self.client = things.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
        self.measured: dict[Any, list[Measured]] = {}

    def start(self, url: str, *program: Path) -> Server:
        """Start the service, or another program."""
        server = Server(PROJECT, {"DATABASE_URL": url, "JWT_SECRET": SECRET, "THREADS": str(THREADS)}, program=program)
        self.things.callback(server.stop)
        server.wait_until_serving()
        assert server.port, server.log
        return server

    def new_database(self, payments: int) -> str:
        """Create a database with a number of payments and return its URL."""
        url = self.postgresql.create() if self.postgresql else f"sqlite:///{self.folder}/{payments}.db"
        migrate_new(url)
        fill(url, payments)
        return url

    def ask(self, name: Any, server: Server, method: str, payments: int) -> None:
        """Measure a server once more."""
        rounds = self.measured.setdefault(name, [])
        arguments = server.port, method, payments, f"{self.seed}-{len(rounds)}", SECONDS
        rounds.append(self.client.submit(ask, *arguments).result())

    def rate(self, name: Any) -> Any:
        """Return the median rate of all rounds."""
        return median(measured.rate() for measured in self.measured[name])

    def quantile(self, name: Any, thousandths: int) -> Any:
        """Return a quantile, in thousandths, of the milliseconds that responses took."""
        answers = sorted(answer for measured in self.measured[name] for answer in measured.answers)
        return 1000 * answers[len(answers) * thousandths // 1000]


def start_up(bench: Bench, url: str) -> tuple[Any, Any]:
    """Return the seconds from the service's start to its first response, and those to import its libraries."""
    service, imports = [], []
    for _ in range(STARTS):
        began = perf_counter()
        server = bench.start(url)
        assert server.request("GET", "/health/live")[0] == 200
        service.append(perf_counter() - began)
        server.stop()
        began = perf_counter()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        imports.append(perf_counter() - began)
    return median(service), median(imports)


def row(what: str, figure: str, remark: str = "", aim: str = "") -> str:
    """Return a line of the table, with the figure's target."""
    return f"{what:<52}{figure:>8}  {aim:<14}{remark}".rstrip()


def describe(engine: str, seed: int) -> Iterator[str]:
    """Yield the lines that describe the machine and the run."""
    yield f"{os.cpu_count()} processors {platform.machine()}, {platform.system()} {platform.release()}"
    yield f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield f"{engine}{' without fsync' if engine == 'postgresql' else ''}, seed {seed}"
    yield f"{CONNECTIONS} connections kept alive, {THREADS} threads, {ROUNDS} rounds of {SECONDS} s each, their medians"
    yield ""


def run(engine: str, seed: int) -> Iterator[str]:
    """Measure everything. Yield the lines of the table."""
    yield from describe(engine, seed)
    with contextlib.ExitStack() as things:
        bench = Bench(engine, seed, things)
        small, large = bench.new_database(FEW), bench.new_database(MANY)
        service, imports = start_up(bench, small)
        remark = f"{1000 * service:.0f} ms against {1000 * imports:.0f} ms"
        yield row("start to first answer / import of its libraries", f"{service / imports:.2f}", remark, "under 2.5")
        server = bench.start(small)
        for number in range(FEW):
            assert server.request("GET", f"/payments/{id_of(number + 1)}")[0] == 200
        yield row(f"memory after start and {FEW:,} requests", f"{resident(server) / 1024:.1f}", "MiB", "under 64")
        listing = time_of(server, "/payments")
        yield row(f"GET /payments of {FEW:,}", f"{1000 * listing:.1f}", f"ms, {10**6 * listing / FEW:.1f} us a payment")
        server.stop()
        yield from long_list(bench, large)
        yield from cash_up(bench, large)
        yield from rates(bench, small, large)


def time_of(server: Server, path: str) -> Any:
    """Return the median seconds of a response, each on a connection of its own."""
    taken = []
    for _ in range(10 * ROUNDS):
        began = perf_counter()
        with contextlib.closing(server.send("GET", path)) as connection:
            assert connection.getresponse().read()
        taken.append(perf_counter() - began)
    return median(taken)


def long_list(bench: Bench, large: str) -> Iterator[str]:
    """Measure the list of MANY payments and a script with the same rows. Yield the lines of the table."""
    server = bench.start(large)
    alone = time_of(server, f"/payments/{id_of(MANY // 2)}")
    read, written = [], []
    for _ in range(LISTS):
        read.append(read_list(server))
        written.append(bench.client.submit(write_out, large).result())
    slow = read_list(server, slow=True)
    server.stop()
    growth = max(listed.growth for listed in read)
    remark = f"MiB, {slow.growth / 1024:.1f} MiB while a slow reader has it"
    yield row(f"memory that the list of {MANY:,} takes", f"{growth / 1024:.1f}", remark, "under 32")
    first_byte = median(listed.first_byte for listed in read)
    remark = f"{1000 * first_byte:.1f} ms against {1000 * alone:.1f} ms"
    yield row("first byte of that list / GET of one payment", f"{first_byte / alone:.1f}", remark, "under 20")
    service, script = (MANY / median(taken) for taken in ([listed.seconds for listed in read], written))
    remark = f"{service:,.0f} payments a second against {script:,.0f}"
    yield row("rate of that list / of a script without the service", f"{service / script:.2f}", remark, "at least 0.5")


def cash_up(bench: Bench, large: str) -> Iterator[str]:
    """Measure the reports of a day at SOME and at MANY postings, in turns. Yield the lines of the table."""
    servers = [bench.start(url) for url in (bench.new_database(SOME), large)]
    for what, path in REPORTS.items():
        ratios, milliseconds = [], []
        for _ in range(ROUNDS):
            few, many = (time_of(server, path) for server in servers)
            ratios.append(many / few)
            milliseconds.append([1000 * few, 1000 * many])
        few, many = (median(times) for times in zip(*milliseconds))
        remark = f"{many:.1f} ms against {few:.1f} ms"
        yield row(f"{what} at {MANY:,} postings / at {SOME:,}", f"{median(ratios):.2f}", remark, "under 1.3")
    for server in servers:
        server.stop()


def rates(bench: Bench, small: str, large: str) -> Iterator[str]:
    """Measure single requests on the two databases and the floor, in turns. Yield the lines of the table."""
    floor = bench.start(small, *FLOOR)
    services = {FEW: bench.start(small), MANY: bench.start(large)}
    for _ in range(ROUNDS):
        bench.ask("floor", floor, "GET", FEW)
        for method, (payments, server) in itertools.product(REQUESTS, services.items()):
            bench.ask((method, payments), server, method, payments)
    yield row("floor", f"{bench.rate('floor'):,.0f}", "answers a second")
    for method in REQUESTS:
        few, many = (method, FEW), (method, MANY)
        ratio, remark = bench.rate(few) / bench.rate("floor"), f"{bench.rate(few):,.0f} a second"
        yield row(f"{method} / floor", f"{ratio:.2f}", remark, "at least 0.45" if method == "GET" else "")
        ratio, remark = bench.rate(many) / bench.rate(few), f"{bench.rate(many):,.0f} a second"
        yield row(f"{method} with {MANY:,} payments / with {FEW:,}", f"{ratio:.2f}", remark, "at least 0.8")
        half, most = bench.quantile(few, 500), bench.quantile(few, 999)
        yield row(f"{method} p99.9 / p50", f"{most / half:.1f}", f"{most:.1f} ms against {half:.1f} ms", "under 10")
    busy = max(measured.busy for rounds in bench.measured.values() for measured in rounds)
    yield row("the client's share of a processor, at most", f"{busy:.0%}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the service beside a constant answer.")
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    for line in run(given.engine, given.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
