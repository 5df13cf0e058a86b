"""The client of `make bench`: requests that are sent as fast as they are answered, or at a given rate"""
import contextlib
import itertools
import random
import re
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter, process_time
from typing import Any, NamedTuple

from ..support.payments import CASH, EUR
from ..support.tokens import in_a_day, make_token

# Connections that are always busy, and those that an open loop has at most.
CONNECTIONS = 8
MAX_CONNECTIONS = 64
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)

Requests = Iterator[bytes]


class Measured(NamedTuple):
    """A client's measurements: the seconds each response took, the seconds in all, and its share of a processor."""

    answers: list[Any]
    seconds: Any
    busy: Any

    def rate(self) -> Any:
        """Return the responses in a second."""
        return len(self.answers) / self.seconds

    def quantile(self, thousandths: int) -> Any:
        """Return a quantile, in thousandths, of the seconds that responses took."""
        return sorted(self.answers)[len(self.answers) * thousandths // 1000]


def id_of(number: int) -> str:
    """Return the id of a numbered payment of a benchmark's database."""
    return f"00000000-0000-7000-8000-{number:012x}"


def ticket_of(number: int) -> str:
    """Return the ticket of a numbered payment: two payments paid each."""
    return f"ticket-{number // 2}"


def headers() -> str:
    """Return the headers of each request."""
    return f"Host: bench\r\nCookie: accessToken={make_token(exp=in_a_day())}\r\n"


def read(path: Callable[[random.Random, int], str]) -> Callable[[int, str], Requests]:
    """Return a generator of GET requests whose path depends on chance and on the number of payments."""

    def requests(payments: int, seed: str) -> Requests:
        chance, sent = random.Random(seed), headers()
        while True:
            yield f"GET {path(chance, payments)} HTTP/1.1\r\n{sent}\r\n".encode()

    return requests


def posts(payments: int, seed: str, ticket: str = "") -> Requests:
    """Yield requests that record a payment, with `ticket` one that pays that ticket."""
    sent = f"{headers()}Content-Type: application/json\r\n"
    known = f'"method_id": "{CASH}", "currency_id": "{EUR}"'
    for number in itertools.count():
        tickets = f', "tickets": [{{"ticket_id": "{ticket}-{seed}-{number}", "amount": 0.50}}]' if ticket else ""
        body = f'{{{known}, "transaction_id": "{seed}-{number}", "amount": {number % 1000}.50{tickets}}}'
        yield f"POST /payments HTTP/1.1\r\n{sent}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def mixed_day(payments: int, seed: str) -> Requests:
    """Yield the requests of a day: 60 % read a payment, 25 % a ticket's, and 15 % record one that pays a ticket."""
    chance = random.Random(seed)
    kinds = [REQUESTS[kind](payments, seed) for kind in ("GET", "by-ticket")] + [posts(payments, seed, "table")]
    while True:
        yield next(chance.choices(kinds, [60, 25, 15])[0])


REQUESTS: dict[str, Callable[..., Requests]] = {
    "GET": read(lambda chance, payments: f"/payments/{id_of(chance.randint(1, payments))}"),
    "POST": posts,
    "page of 100": read(
        lambda chance, payments: f"/payments?limit=100&after={id_of(chance.randint(0, payments - 100))}"
    ),
    "by-ticket": read(
        lambda chance, payments: f"/payments/ticket-payments/by-ticket/{ticket_of(chance.randint(1, payments))}"
    ),
    "takings of today": read(lambda chance, payments: "/payments/takings"),
    "mixed day": mixed_day,
}


class Connection:
    """A connection to a server, and the response that it receives."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer, self.due = b"", perf_counter()

    def send(self, request: bytes, due: Any) -> None:
        """Send a request that was due at a time."""
        self.answer, self.due = b"", due
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Receive bytes and tell whether the response is complete. Raises an AssertionError for an error."""
        self.answer += self.socket.recv(2**16)
        head, found, body = self.answer.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), head or "the service closed the connection"
        return bool(found) and len(body) == int(LENGTH.search(head + b"\r\n")[1])


def ask(port: int, kind: str, payments: int, seed: str, seconds: Any) -> Measured:
    """Send requests on CONNECTIONS connections for some seconds, one after the other on each."""
    requests = REQUESTS[kind](payments, seed)
    answers = []
    with connect([port], CONNECTIONS) as (waiting, connections):
        began, worked = perf_counter(), process_time()
        for connection in connections:
            connection.send(next(requests), perf_counter())
        busy = len(connections)
        while busy:
            for key, _ in waiting.select():
                if not key.data.receive():
                    continue
                now = perf_counter()
                answers.append(now - key.data.due)
                if now - began > seconds:
                    busy -= 1
                else:
                    key.data.send(next(requests), now)
        return Measured(answers, perf_counter() - began, (process_time() - worked) / (perf_counter() - began))


def offer(ports: Sequence[int], kind: str, payments: int, seed: str, seconds: Any, rate: int) -> Measured:
    """Send `rate` requests a second for some seconds, whatever the responses take: an open loop.

    A response counts from the moment that its request was due, also if all connections were busy then. The ports take
    turns.
    """
    requests = REQUESTS[kind](payments, seed)
    answers: list[Any] = []
    with connect(ports, MAX_CONNECTIONS // len(ports)) as (waiting, connections):
        free = deque(connections)
        began, worked = perf_counter(), process_time()
        dues = deque(began + number / rate for number in range(int(rate * seconds)))
        total = len(dues)
        while len(answers) < total:
            now = perf_counter()
            while dues and free and dues[0] <= now:
                free.popleft().send(next(requests), dues.popleft())
            for key, _ in waiting.select(max(0, dues[0] - perf_counter()) if dues and free else None):
                if key.data.receive():
                    answers.append(perf_counter() - key.data.due)
                    free.append(key.data)
        return Measured(answers, perf_counter() - began, (process_time() - worked) / (perf_counter() - began))


@contextlib.contextmanager
def connect(ports: Sequence[int], count: int) -> Iterator[tuple[selectors.BaseSelector, list[Connection]]]:
    """Open so many connections to each port, in turns; yield them and what waits for them."""
    with contextlib.ExitStack() as things:
        waiting = things.enter_context(selectors.DefaultSelector())
        connections = [Connection(port) for _ in range(count) for port in ports]
        for connection in connections:
            things.enter_context(connection.socket)
            waiting.register(connection.socket, selectors.EVENT_READ, connection)
        yield waiting, connections
