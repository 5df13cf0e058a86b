"""Compare the service with a constant response of waitress, large databases with small ones, and a long list with a
script that writes the same rows

    python -m tests.long.bench --engine postgresql --seed 7

All in one run and in turns, because only ratios mean something on another machine. The client is this module's own, in
a process of its own. It keeps connections busy, or sends requests at a rate, and hardly reads the answers. The table
says how much of a processor it took at most, by which one sees that it did not hold up what it measured.
"""
import argparse
import contextlib
import itertools
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import datetime, timezone
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from ..support.migrating import migrate_new
from ..support.payments import CASH, EUR, payment
from ..support.postgresql import PostgresqlDatabases, PostgresqlServer, programs
from ..support.project import PROJECT, environment
from ..support.rows import Rows
from ..support.server import Server
from ..support.tokens import SECRET
from .bench_client import CONNECTIONS, Measured, ask, id_of, offer
from .bench_list import read_list, resident, write_out

THREADS = 8
ROUNDS = 3
SECONDS = 1
FEW, MANY = 1000, 1_000_000
STARTS = 3
LISTS = 2
# Requests of a mixed day before the memory is measured, and payments in one or two requests.
MIXED = 10_000
PAID = 300
# Tills that pay while something else is done: the requests in a second, and how long.
TILL_RATE, TILL_SECONDS = 30, 6
# The mixed day: the slowest response but 1 % has to come in this time. Each rate is offered for some seconds, and is
# higher by this factor than the one before.
PROMPT_SECONDS = 50 / 1000
DAY_SECONDS, LOWEST_RATE, FACTOR = 3, 100, 5 / 4
# One stall of the disk delays more than a hundredth of so few requests.
ATTEMPTS = 2
IMPORTS = "import flask, flask_smorest, peewee, jwt, waitress"
PACKAGES = ["flask", "flask-smorest", "peewee", "pyjwt", "waitress", "marshmallow", "msgspec"]

FLOOR = [PROJECT / "tests" / "long" / "floor.py"]

# Numbered payments, their links, and the history entry of each.
NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
NUMBERED_ID = {
    "sqlite": "printf('00000000000070008000%012x', n)",
    "postgresql": "CAST('00000000000070008000' || lpad(to_hex(n), 12, '0') AS UUID)",
}
PAYMENTS = """
INSERT INTO payment (id, method_id, currency_id, transaction_id, minor_units, version, created_at, changed_at)
{numbers} SELECT {id}, {cash}, {eur}, 'txn-' || n, n, 1, {moment}, {moment} FROM numbers
"""
LINKS = """
INSERT INTO ticket_payment (payment_id, ticket_id, linked_at)
{numbers} SELECT {id}, 'ticket-' || (n / 2), {moment} FROM numbers
"""
HISTORY = """
INSERT INTO history (payment_id, at, user_id, request_id, action, after)
{numbers} SELECT {id}, {moment}, '12', 'bench', 'created', '{{"amount":1.00}}' FROM numbers
"""


# A posting for each payment, in closings and days of POSTINGS_A_DAY; the last is open, and its day is today.
POSTINGS_A_DAY = 1000
REPORTS = {"open closing": "/payments/closings/next", "takings of a day": "/payments/takings"}
# The requests that are measured on both databases.
KINDS = ["GET", "POST", "page of 100", "by-ticket", "takings of today"]
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
    for statement in (PAYMENTS, LINKS, HISTORY, POSTINGS):
        rows.execute(statement.format(**parts))
    rows.execute(f"UPDATE open_closing SET number = {last + 1}")
    rows.execute("ANALYZE")
    rows.connection.close()


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
        # Another one each time, so that no transaction_id is sent twice.
        self.seeds = (f"{seed}-{number}" for number in itertools.count())

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

    def ask(self, name: Any, server: Server, kind: str, payments: int) -> None:
        """Measure a server once more."""
        rounds = self.measured.setdefault(name, [])
        rounds.append(self.client.submit(ask, server.port, kind, payments, next(self.seeds), SECONDS).result())

    def offer(self, servers: list[Server], kind: str, payments: int, seconds: int, rate: int) -> "Future[Measured]":
        """Send requests to servers at a rate."""
        ports = [server.port for server in servers]
        return self.client.submit(offer, ports, kind, payments, next(self.seeds), seconds, rate)

    def rate(self, name: Any) -> Any:
        """Return the median rate of all rounds."""
        return median(measured.rate() for measured in self.measured[name])

    def quantile(self, name: Any, thousandths: int) -> Any:
        """Return the median quantile, in thousandths, of the seconds that responses took."""
        return median(measured.quantile(thousandths) for measured in self.measured[name])


def start_up(bench: Bench, url: str, starts: int) -> Any:
    """Return the median seconds from the service's start to its first response."""
    taken = []
    for _ in range(starts):
        began = perf_counter()
        server = bench.start(url)
        assert server.request("GET", "/health/live")[0] == 200
        taken.append(perf_counter() - began)
        server.stop()
    return median(taken)


def import_libraries() -> Any:
    """Return the median seconds to import the libraries of the service."""
    taken = []
    for _ in range(STARTS):
        began = perf_counter()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        taken.append(perf_counter() - began)
    return median(taken)


def row(what: str, figure: str, remark: str = "", aim: str = "") -> str:
    """Return a line of the table, with the figure's target."""
    return f"{what:<52}{figure:>8}  {aim:<14}{remark}".rstrip()


def compare(what: str, figure: Any, base: Any, aim: str = "") -> str:
    """Return a line with the ratio of two durations in seconds, and both in milliseconds."""
    return row(what, f"{figure / base:.2f}", f"{1000 * figure:.1f} ms against {1000 * base:.1f} ms", aim)


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
        yield from starts(bench, small, large)
        # Before the payments of `rates`: they are further postings of today, which the smaller database would not have.
        yield from cash_up(bench, large)
        yield from rates(bench, small, large)
        yield from long_list(bench, large)
        yield from tills(bench, large)
        yield from day(bench, small)


def starts(bench: Bench, small: str, large: str) -> Iterator[str]:
    """Measure starts and memory. Yield the lines of the table."""
    few = start_up(bench, small, STARTS)
    yield compare("start to first answer / import of its libraries", few, import_libraries(), "under 2.5")
    if bench.postgresql is None:
        forget(Path(large.removeprefix("sqlite:///")))
    many = start_up(bench, large, 1)
    yield row(f"start to first answer with {MANY:,} payments, s", f"{many:.2f}", f"{few:.2f} with {FEW:,}", "under 8")
    server = bench.start(small)
    listing = time_of(server, "/payments")
    yield row(f"GET /payments of {FEW:,}", f"{1000 * listing:.1f}", f"ms, {10**6 * listing / FEW:.1f} us a payment")
    one, two = pay(server, bench.seed)
    yield compare("payment with link and share: two requests / one", two, one, "at least 1.5")
    server.stop()
    server = bench.start(small)
    while sum(len(measured.answers) for measured in bench.measured.get("memory", [])) < MIXED:
        bench.ask("memory", server, "mixed day", FEW)
    yield row(f"memory after start and {MIXED:,} mixed requests", f"{resident(server) / 1024:.1f}", "MiB", "under 60")
    server.stop()


def forget(file: Path) -> None:
    """Let the operating system forget what it holds of a file in memory, as after a power cut."""
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def pay(server: Server, seed: int) -> tuple[Any, Any]:
    """Return the median seconds to record a payment with a link and share in one request, and in two."""
    in_one, in_two = [], []
    for number in range(PAID):
        body = payment(transaction_id=f"{seed}-one-{number}")
        share = {"ticket_id": f"{seed}-{number}", "amount": 1}
        began = perf_counter()
        assert server.request("POST", "/payments", body | {"tickets": [share]})[0] == 201
        in_one.append(perf_counter() - began)
        began = perf_counter()
        _, added = server.request("POST", "/payments", body | {"transaction_id": f"{seed}-two-{number}"})
        assert server.request("POST", "/payments/ticket-payments", share | {"payment_id": added["id"]})[0] == 201
        in_two.append(perf_counter() - began)
    return median(in_one), median(in_two)


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
        for kind, (payments, server) in itertools.product(KINDS, services.items()):
            bench.ask((kind, payments), server, kind, payments)
    for server in (floor, *services.values()):
        server.stop()
    yield row("floor", f"{bench.rate('floor'):,.0f}", "answers a second")
    for kind in KINDS:
        few, many = (kind, FEW), (kind, MANY)
        if kind in ("GET", "POST"):
            ratio, remark = bench.rate(few) / bench.rate("floor"), f"{bench.rate(few):,.0f} a second"
            yield row(f"{kind} / floor", f"{ratio:.2f}", remark, "at least 0.36" if kind == "GET" else "")
            yield compare(f"{kind} p99 / p50", bench.quantile(few, 990), bench.quantile(few, 500))
        ratio = bench.rate(many) / bench.rate(few)
        remark = f"{bench.rate(many):,.0f} a second against {bench.rate(few):,.0f}"
        yield row(f"{kind} with {MANY:,} payments / with {FEW:,}", f"{ratio:.2f}", remark, "at least 0.8")
    busy = max(measured.busy for rounds in bench.measured.values() for measured in rounds)
    yield row("the client's share of a processor, at most", f"{busy:.0%}")


def tills(bench: Bench, large: str) -> Iterator[str]:
    """Measure payments at TILL_RATE alone, beside a list of MANY and beside a backup. Yield the lines of the table."""
    server = bench.start(large)
    for beside, aim in {"alone": "", "beside a list": "under 10", "beside a backup": "under 7"}.items():
        payments = bench.offer([server], "POST", MANY, TILL_SECONDS, TILL_RATE)
        while not payments.done() and beside != "alone":
            if beside == "beside a list":
                read_list(server)
            else:
                back_up(bench, large)
        p99 = payments.result().quantile(990)
        yield row(f"POST at {TILL_RATE}/s {beside}: p99, ms", f"{1000 * p99:.1f}", aim=aim)
    server.stop()


def back_up(bench: Bench, url: str) -> None:
    """Write a backup."""
    settings = environment(DATABASE_URL=url, JWT_SECRET=SECRET)
    settings["PATH"] = f"{programs()}:{settings['PATH']}" if bench.postgresql else settings["PATH"]
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "backup", bench.folder / "backups", "--keep", "1"]
    subprocess.run(command, cwd=PROJECT, env=settings, check=True, stdout=subprocess.DEVNULL)


def is_prompt(bench: Bench, servers: list[Server], rate: int) -> bool:
    """Tell whether servers answer a mixed day at a rate within PROMPT_SECONDS, but for one in a hundred requests."""
    return bench.offer(servers, "mixed day", FEW, DAY_SECONDS, rate).result().quantile(990) < PROMPT_SECONDS


def day(bench: Bench, url: str) -> Iterator[str]:
    """Offer a mixed day to one server, and to two on one database, at ever higher rates. Yield the lines."""
    for copies in (1, 2):
        servers = [bench.start(url) for _ in range(copies)]
        highest, rate = 0, LOWEST_RATE
        while any(is_prompt(bench, servers, rate) for _ in range(ATTEMPTS)):
            highest, rate = rate, int(rate * FACTOR)
        remark = f"a second, with p99 under {1000 * PROMPT_SECONDS:.0f} ms"
        yield row(f"mixed day, {copies} server{'s' * (copies - 1)}: highest rate", f"{highest:,}", remark)
        for server in servers:
            server.stop()


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
