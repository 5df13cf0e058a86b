"""The service as a process: what only a real socket and real signals show"""
import contextlib
import http.client
import json
import shutil
import socket
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import CASH, EUR, SECRET, environment, make_token, payment


def exchange(server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes on a connection of their own; return the answer's status, headers and body."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request)
        with http.client.HTTPResponse(connection) as answer:
            answer.begin()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@pytest.mark.parametrize("order", [["access", "refresh"], ["refresh", "access"], ["theme", "access", "refresh"]])
def test_cookies_in_headers_of_their_own_are_all_read(server, order):
    cookies = {
        "access": f"accessToken={make_token()}",
        "refresh": f"refreshToken={make_token(type='refresh')}",
        "theme": "theme=dark; locale=es-MX",
    }
    headers = "".join(f"Cookie: {cookies[name]}\r\n" for name in order)
    status, _, _ = exchange(server, f"GET /payments/methods HTTP/1.1\r\nHost: box\r\n{headers}\r\n".encode())
    assert status == 200


def test_a_comma_inside_a_cookie_does_not_hide_the_next(server):
    cookies = f"seen=1,2, 3; accessToken={make_token()}"
    status, _, _ = exchange(server, f"GET /payments HTTP/1.1\r\nHost: box\r\nCookie: {cookies}\r\n\r\n".encode())
    assert status == 204


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65537, 413),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: 16777216\r\n\r\n" + b"x" * 16777216, 413),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: 9" + b"9" * 20 + b"\r\n\r\n", 413),
        (b"GET /payments HTTP/1.1\r\nHost: box\r\nCookie: a=" + b"x" * 20000 + b"\r\n\r\n", 431),
        (b"GET /payments HTTP/1.1\r\nHost: box\r\nno header\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
    ids=lambda value: value[:60] if isinstance(value, bytes) else value,
)
def test_what_waitress_refuses_has_the_one_shape_too(server, request_, code):
    status, headers, body = exchange(server, request_)
    assert status == code
    assert headers["content-type"] == "application/json"
    assert "server" not in headers
    refusal = json.loads(body)
    assert set(refusal) == {"code", "status", "message"}
    assert refusal["code"] == code


def test_who_waits_before_sending_too_large_a_body_is_told_not_to(server):
    head = b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: 65537\r\nExpect: 100-continue\r\n\r\n"
    assert exchange(server, head)[0] == 413


def test_a_body_of_64_kib_is_read(server):
    body = json.dumps({"padding": ""}).encode()
    body = body.replace(b'""', b'"' + b"x" * (65536 - len(body)) + b'"')
    assert len(body) == 65536
    head = f"POST /payments HTTP/1.1\r\nHost: box\r\nCookie: accessToken={make_token()}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    status, _, _ = exchange(server, head.encode() + body)
    assert status == 422


# As the page prints them: its text lost the line breaks behind the backslashes, which the shell does not mind.
COOKIES = '\\-H "Cookie: accessToken=$ACCESS_TOKEN" \\-H "Cookie: refreshToken=$REFRESH_TOKEN"'
JSON = '\\-H "Content-Type: application/json" \\-d '
PAGE = [
    (f'curl -X GET "http://127.0.0.1:9154/payments" {COOKIES}', 200),
    (f'curl -X GET "http://127.0.0.1:9154/payments/payment-uuid-1" {COOKIES}', 200),
    (
        f'curl -X POST "http://127.0.0.1:9154/payments" {COOKIES} {JSON}\'{{"method_id": "method-uuid-1",'
        '"currency_id": "currency-uuid-1","transaction_id": "txn-345678","amount": 78.90}\'',
        201,
    ),
    (f'curl -X GET "http://127.0.0.1:9154/payments/methods" {COOKIES}', 200),
    (f'curl -X GET "http://127.0.0.1:9154/payments/currencies" {COOKIES}', 200),
    (
        f'curl -X POST "http://127.0.0.1:9154/payments/ticket-payments" {COOKIES} {JSON}'
        '\'{"payment_id": "payment-uuid-1","ticket_id": "ticket-uuid-1"}\'',
        201,
    ),
    (f'curl -X GET "http://127.0.0.1:9154/payments/ticket-payments/by-ticket/ticket-uuid-1" {COOKIES}', 200),
    (
        'curl -X DELETE "http://127.0.0.1:9154/payments/ticket-payments?paymentId=payment-uuid-1&ticketId='
        f'ticket-uuid-1" {COOKIES}',
        204,
    ),
]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_commands_of_the_page_work_as_they_are_printed(server):
    payment_id = server.request("POST", "/payments", payment())[1]["id"]
    ids = {"method-uuid-1": CASH, "currency-uuid-1": EUR, "payment-uuid-1": payment_id, "9154": str(server.port)}
    for command, code in PAGE:
        for printed, real in ids.items():
            command = command.replace(printed, real)
        tokens = {"ACCESS_TOKEN": make_token(), "REFRESH_TOKEN": make_token(type="refresh")}
        shell = ["sh", "-c", f"{command} -s -w '%{{http_code}}'"]
        result = subprocess.run(shell, env=environment() | tokens, capture_output=True, text=True, check=True)
        assert result.stdout[-3:] == str(code), command


def test_a_transaction_id_posted_by_many_at_once_is_taken_once(server):
    with ThreadPoolExecutor(16) as clients:
        codes = list(clients.map(lambda _: server.request("POST", "/payments", payment())[0], range(16)))
    assert sorted(codes) == [201] + [409] * 15
    assert len(server.request("GET", "/payments")[1]) == 1


def test_payments_posted_by_many_at_once_are_all_kept(server):
    def post(number):
        return server.request("POST", "/payments", payment(transaction_id=f"txn-{number}"))[1]["id"]

    with ThreadPoolExecutor(8) as clients:
        ids = list(clients.map(post, range(200)))
    assert [listed["id"] for listed in server.request("GET", "/payments")[1]] == sorted(ids)


def test_sigterm_lets_a_running_request_finish_and_exits_with_0(server, database_url):
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with contextlib.closing(server.send("POST", "/payments", payment())) as waiting:
        # waitress starts requests in the order they come: once a later one is answered, the first is running.
        assert server.request("GET", "/openapi.json")[0] == 200
        server.process.terminate()
        other.execute("ROLLBACK")
        assert waiting.getresponse().status == 201
    assert server.wait() == 0
    assert other.execute("SELECT count(*) FROM payment").fetchone() == (1,)
    other.close()


def test_two_processes_started_at_once_on_nothing_both_come_up(start_server, database_url):
    with ThreadPoolExecutor(2) as starters:
        servers = list(starters.map(lambda _: start_server(), range(2)))
    for server in servers:
        assert server.port, server.log
        assert len(server.request("GET", "/payments/methods")[1]) == 4


def test_two_processes_on_one_database_see_each_others_payments(start_server):
    one, other = start_server(), start_server()
    payment_id = one.request("POST", "/payments", payment())[1]["id"]
    assert other.request("GET", f"/payments/{payment_id}")[0] == 200
    assert other.request("POST", "/payments", payment())[0] == 409


def test_an_address_that_is_taken_stops_the_start_with_one_line(server, start_server):
    second = start_server(PORT=str(server.port))
    assert second.wait() == 1
    assert second.log[-1].startswith(f"payments: cannot listen on 127.0.0.1 port {server.port}: ")


def test_a_file_that_is_no_database_stops_the_start_with_one_line(start_server, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    server = start_server(DATABASE_URL=f"sqlite:///{tmp_path}/notes.txt")
    assert server.wait() == 1
    assert f"the database sqlite:///{tmp_path}/notes.txt cannot be used" in server.log[-1]
    assert (tmp_path / "notes.txt").read_text() == "not a database " * 100


def test_the_log_names_the_database_and_no_secret(server, database_url):
    assert [line for line in server.log if database_url in line]
    assert SECRET not in "".join(server.log)
