"""The service as a process: what only a real socket and real signals show"""
import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .conftest import CASH, ENCODER, EUR, SECRET, environment, make_token, payment
from .postgresql import ENCODED_PASSWORD, PASSWORD, wait_until


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


@pytest.mark.parametrize("other", ["seen=1,2, 3", "", "flag", "a[b]=1", "refreshToken="])
def test_odd_cookies_before_and_behind_the_token_do_not_hide_it(server, other):
    headers = [f"Cookie: {other}", f"Cookie: accessToken={make_token()}", f"Cookie: {other}"]
    status, _, _ = exchange(server, "\r\n".join(["GET /payments HTTP/1.1", "Host: box", *headers, "\r\n"]).encode())
    assert status == 204


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET /payments HTTP/1.1\r\nHost: box\r\nCookie: a=" + b"x" * 20000 + b"\r\n\r\n", 431),
        (b"GET /payments HTTP/1.1\r\nHost: box\r\nno header\r\n\r\n", 400),
        (b"GET /payments HTTP/1.1\r\nHost: box\r\nA:" + b" \t" * 50 + b"a\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: box\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: ,\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /payments HTTP/1.0\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nExpect: 100-continue\r\nContent-Length: x\r\n\r\n", 400),
    ],
    ids=lambda value: value[:60] if isinstance(value, bytes) else value,
)
def test_what_waitress_refuses_has_the_one_shape_too(server, request_, code):
    status, headers, body = exchange(server, request_)
    assert status == code
    assert headers["content-type"] == "application/json"
    assert "server" not in headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert headers["x-request-id"]
    refusal = json.loads(body)
    assert set(refusal) == {"code", "status", "message"}
    assert refusal["code"] == code
    assert server.request("GET", "/openapi.json")[0] == 200
    assert "level=error" not in "".join(server.log)


@pytest.mark.parametrize(("size", "code"), [(65536, 422), (65537, 413), (16 * 1024 * 1024, 413)])
def test_a_body_over_64_kib_is_refused_and_the_connection_stays(server, size, code):
    body = b'{"padding": "' + b"x" * (size - 15) + b'"}'
    with contextlib.closing(server.send("GET", "/openapi.json")) as connection:
        connection.getresponse().read()
        headers = {"Cookie": f"accessToken={make_token()}", "Content-Type": "application/json"}
        for _ in range(2):
            connection.request("POST", "/payments", body, headers)
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["code"]) == (code, code)


@pytest.mark.parametrize("announced", ["65537\r\nExpect: 100-continue", "16777217", "9" * 20])
def test_a_token_is_judged_before_the_size_of_the_body_and_the_body_is_not_awaited(server, announced):
    head = f"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: {announced}\r\nContent-Type: application/json\r\n"
    assert exchange(server, f"{head}\r\n".encode())[0] == 401
    status, headers, _ = exchange(server, f"{head}Cookie: accessToken={make_token()}\r\n\r\n".encode())
    assert (status, headers["connection"]) == (413, "close")


def test_a_token_is_judged_before_the_size_of_a_chunked_body(server):
    head = "POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: Chunked\r\nContent-Type: application/json\r\n"
    body = b"11000\r\n" + b"x" * 0x11000
    assert exchange(server, f"{head}\r\n".encode() + body)[0] == 401
    signed_in = f"{head}Cookie: accessToken={make_token()}\r\n\r\n".encode()
    status, headers, _ = exchange(server, signed_in + body)
    assert (status, headers["connection"]) == (413, "close")
    status, _, answer = exchange(server, signed_in + b"2\r\n{}\r\n0\r\n\r\n")
    assert (status, json.loads(answer)["code"]) == (422, 422)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /payments", 401),
        ("GET /payments", 204),
        ("DELETE /payments/x", 404),
        ("POST /payments", 400),
    ],
)
def test_a_request_that_announces_a_body_and_has_none_is_answered_and_lends_its_token_to_no_other(
    server, request_, status
):
    cookie = "" if status == 401 else f"Cookie: accessToken={make_token()}\r\n"
    head = f"{request_} HTTP/1.1\r\nHost: box\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n{cookie}"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"{head}\r\nGET /payments HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n".encode())
        answers = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    # A 204 closes its connection.
    statuses = [int(found) for found in re.findall(r"^HTTP/1.1 (\d+)", answers, re.MULTILINE)]
    assert statuses == ([204] if status == 204 else [status, 401])


def test_a_body_that_is_announced_is_asked_for(server):
    body = ENCODER.encode(payment())
    head = f"POST /payments HTTP/1.1\r\nHost: box\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: application/json\r\nCookie: accessToken={make_token()}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_gets_the_refusal_of_a_body_that_it_asks_about_first(server, tmp_path: Path):
    (tmp_path / "body").write_bytes(b" " * 2_000_000)
    command = ["curl", "-s", "-X", "POST", f"http://127.0.0.1:{server.port}/payments", "-H", "Expect: 100-continue"]
    command += ["-H", f"Cookie: accessToken={make_token()}", "-H", "Content-Type: application/json"]
    command += ["--data-binary", f"@{tmp_path}/body", "-m", "20"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["code"] == 413


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


def run_the_page(server) -> None:
    """Run the page's commands and hold the status of each answer against the page."""
    payment_id = server.request("POST", "/payments", payment())[1]["id"]
    ids = {"method-uuid-1": CASH, "currency-uuid-1": EUR, "payment-uuid-1": payment_id, "9154": str(server.port)}
    for command, code in PAGE:
        for printed, real in ids.items():
            command = command.replace(printed, real)
        tokens = {"ACCESS_TOKEN": make_token(), "REFRESH_TOKEN": make_token(type="refresh")}
        shell = ["sh", "-c", f"{command} -s -w '%{{http_code}}'"]
        result = subprocess.run(shell, env=environment() | tokens, capture_output=True, text=True, check=True)
        assert result.stdout[-3:] == str(code), command


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_commands_of_the_page_work_as_they_are_printed(server):
    run_the_page(server)


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


def test_sigterm_lets_a_running_request_finish_and_exits_with_0(server, rows):
    rows.lock()
    with contextlib.closing(server.send("POST", "/payments", payment())) as waiting:
        # waitress starts requests in the order they come: once a later one is answered, the first is running.
        assert server.request("GET", "/openapi.json")[0] == 200
        server.process.terminate()
        rows.unlock()
        assert waiting.getresponse().status == 201
    assert server.wait() == 0
    assert rows.all("SELECT count(*) FROM payment") == [(1,)]


def bytes_of(method: str, path: str, body: dict | None = None) -> bytes:
    """Return a request as it is sent, so that several can be sent at once."""
    content = ENCODER.encode(body) if body else b""
    head = f"Host: box\r\nCookie: accessToken={make_token()}\r\nContent-Type: application/json"
    return f"{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def test_an_answer_is_sent_while_the_next_request_on_its_connection_waits(server, rows):
    rows.lock()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(bytes_of("HEAD", "/payments/methods") + bytes_of("POST", "/payments", payment()))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        # Before the payment has waited for so long that it is refused.
        rows.unlock()
        assert connection.recv(12) == b"HTTP/1.1 201"


def test_sigterm_lets_the_answer_to_a_running_request_out_that_another_follows(server, rows):
    rows.lock()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        payments = [bytes_of("POST", "/payments", payment(transaction_id=f"txn-{number}")) for number in (1, 2)]
        connection.sendall(b"".join(payments))
        # Once a later request is answered, the first is running.
        assert server.request("GET", "/openapi.json")[0] == 200
        server.process.terminate()
        wait_until_stopping(server)
        rows.unlock()
        assert connection.recv(12) == b"HTTP/1.1 201"
    assert server.wait() == 0
    assert rows.all("SELECT transaction_id FROM payment") == [("txn-1",)]


def wait_until_stopping(server) -> None:
    """Wait until a server has taken the signal that stops it."""
    wait_until(lambda: any("Stopping" in line for line in server.log))


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_cut_the_first_short(server, rows, first, second):
    rows.lock()
    with contextlib.closing(server.send("POST", "/payments", payment())) as waiting:
        assert server.request("GET", "/openapi.json")[0] == 200
        server.process.send_signal(first)
        wait_until_stopping(server)
        server.process.send_signal(second)
        rows.unlock()
        assert waiting.getresponse().status == 201
    assert server.wait() == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
@pytest.mark.parametrize("read_before", [0, 1_000_000, 5_000_000])
def test_sigterm_lets_a_long_answer_be_read_to_its_end(start_server, insert_payments, host, read_before):
    server = start_server(HOST=host)
    insert_payments(*({"id": f"{number:032x}", "transaction_id": f"txn-{number}"} for number in range(50_000)))
    with contextlib.closing(server.send("GET", "/payments")) as reading:
        # So that most of the answer is still with the server when it is told to stop.
        reading.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        response = reading.getresponse()
        answer = response.read(read_before)
        server.process.terminate()
        if not read_before:
            wait_until_stopping(server)
        answer += response.read()
    assert len(json.loads(answer)) == 50_000
    assert server.wait() == 0


def test_as_many_threads_serve_as_the_settings_say(start_server):
    server = start_server(THREADS="3")
    assert len(list(Path(f"/proc/{server.process.pid}/task").iterdir())) == 1 + 3


def test_requests_that_wait_hold_up_no_other_while_there_is_a_thread_left(start_server, rows):
    server = start_server(THREADS="3")
    rows.lock()
    with contextlib.closing(server.send("POST", "/payments", payment(transaction_id="txn-1"))) as first:
        with contextlib.closing(server.send("POST", "/payments", payment(transaction_id="txn-2"))) as second:
            assert server.request("GET", "/payments/methods")[0] == 200
            rows.unlock()
            assert [waiting.getresponse().status for waiting in (first, second)] == [201, 201]


def test_more_requests_at_once_than_threads_are_all_answered(start_server):
    server = start_server(THREADS="2")
    with ThreadPoolExecutor(20) as tills:
        answers = [tills.submit(server.request, "GET", "/payments/methods") for _ in range(200)]
    assert {answer.result()[0] for answer in answers} == {200}


def test_a_new_box_listens_on_itself_alone(server):
    assert [line for line in server.log if f"Serving on http://127.0.0.1:{server.port}" in line]


def test_an_address_that_is_taken_stops_the_start_with_one_line(server, start_server):
    second = start_server(PORT=str(server.port))
    assert second.wait() == 1
    assert second.log[-1].startswith("payments: cannot listen on PAYMENTS_HOST '127.0.0.1' and PAYMENTS_PORT")


def test_a_host_that_is_none_stops_the_start_with_one_line(start_server):
    server = start_server(HOST="300.1.1.1")
    assert server.wait() == 1
    assert server.log[-1].startswith("payments: cannot listen on PAYMENTS_HOST '300.1.1.1' and PAYMENTS_PORT")


def test_a_database_of_a_newer_release_stops_the_start_with_one_line(app, start_server, rows):
    rows.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')")
    server = start_server()
    assert server.wait() == 1
    assert re.match(r"payments: the database \S+ cannot be used: ", server.log[-1])
    assert "9999_later" in server.log[-1]


def test_the_log_names_the_database_and_no_secret(server, database_url):
    name = urlsplit(database_url).path
    assert [line for line in server.log if f"{name} keys=" in line]
    log = "".join(server.log)
    assert SECRET not in log
    assert ENCODED_PASSWORD not in log
    assert PASSWORD not in log
