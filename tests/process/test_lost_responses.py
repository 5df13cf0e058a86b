"""A till whose responses get lost"""
import contextlib
import http.client
import signal
import socket
import threading
from decimal import Decimal

import pytest

from ..support.payments import ENCODER, payment
from ..support.tokens import make_token

ATTEMPTS = 20


class Proxy:
    """A proxy that passes requests on, and closes some connections before the response."""

    def __init__(self, server):
        self.server = server
        self.lost = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        for number in range(10**6):
            try:
                till, _ = self.listener.accept()
            except OSError:
                return
            service = http.client.HTTPConnection("127.0.0.1", self.server.port)
            with till, till.makefile("rb") as request, contextlib.closing(service):
                method, path, _ = request.readline().decode().split()
                headers = http.client.parse_headers(request)
                service.request(method, path, request.read(int(headers["Content-Length"])), dict(headers))
                response = service.getresponse()
                body = response.read()
                if number % 3 < 2:
                    # The service has responded, so its change is on the disk.
                    self.lost.append(response.status)
                    continue
                head = f"HTTP/1.1 {response.status} {response.reason}\r\nContent-Length: {len(body)}\r\n"
                replayed = response.headers["Idempotency-Replayed"]
                till.sendall(f"{head}Idempotency-Replayed: {replayed}\r\n\r\n".encode() + body)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(timeout=30)


@pytest.fixture
def proxy(server):
    opened = Proxy(server)
    yield opened
    opened.close()


def send(port, path, body, key):
    """Retry a request until there is a response. Return its status, body and Idempotency-Replayed header."""
    headers = {
        "Cookie": f"accessToken={make_token()}", "Content-Type": "application/json", "Idempotency-Key": key
    }
    for _ in range(ATTEMPTS):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            try:
                connection.request("POST", path, ENCODER.encode(body), headers)
                response = connection.getresponse()
                return response.status, response.read(), response.headers["Idempotency-Replayed"]
            except (http.client.HTTPException, OSError):
                continue
    raise AssertionError("never answered")


@pytest.mark.parametrize("killed", [False, True])
def test_a_till_that_retries_pays_and_links_once(proxy, start_server, killed):
    for number in range(12):
        body = payment(transaction_id="", amount=number)
        status, answer, replayed = send(proxy.port, "/payments", body, f"pay-{number}")
        assert (status, replayed) == (201, "true")
        link = {"payment_id": answer.decode().split('"')[3], "ticket_id": "ticket-1"}
        status, _, replayed = send(proxy.port, "/payments/ticket-payments", link, f"link-{number}")
        assert (status, replayed) == (201, "true")
        if killed and number % 4 == 0:
            proxy.server.stop(signal.SIGKILL)
            proxy.server = start_server()
    assert len(proxy.lost) == 48
    assert [listed["amount"] for listed in proxy.server.request("GET", "/payments")[1]] == [*map(Decimal, range(12))]
    assert len(proxy.server.request("GET", "/payments/ticket-payments/by-ticket/ticket-1")[1]) == 12


def test_a_lost_response_is_replayed_after_a_kill(server, start_server):
    body = payment(transaction_id="")
    first = server.request("POST", "/payments", body, **{"Idempotency-Key": "key-1"})
    server.stop(signal.SIGKILL)
    server = start_server()
    assert server.request("POST", "/payments", body, **{"Idempotency-Key": "key-1"}) == first
    assert len(server.request("GET", "/payments")[1]) == 1
