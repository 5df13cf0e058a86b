"""The service as a process: signals, threads and its start"""
import base64
import contextlib
import json
import re
import shutil
import signal
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ..support.api_page import run_curl_commands
from ..support.engines import on_one_engine
from ..support.keys import make_key, spki
from ..support.network import can_listen_on_ipv6
from ..support.payments import ENCODER, payment
from ..support.postgresql import ENCODED_PASSWORD, PASSWORD
from ..support.tokens import SECRET, in_a_day, make_token
from ..support.waiting import wait_until

has_ipv6 = pytest.mark.skipif(not can_listen_on_ipv6(), reason="the machine has no IPv6 address")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_commands_of_the_page_work_as_they_are_printed(server):
    run_curl_commands(server)


def test_sigterm_lets_a_running_request_finish_and_exits_with_0(server, rows):
    rows.lock()
    with contextlib.closing(server.send("POST", "/payments", payment())) as waiting:
        # waitress starts requests in order: once a later one has a response, the first is running.
        assert server.request("GET", "/openapi.json")[0] == 200
        server.process.terminate()
        rows.unlock()
        assert waiting.getresponse().status == 201
    assert server.wait() == 0
    assert rows.all("SELECT count(*) FROM payment") == [(1,)]


def bytes_of(method: str, path: str, body: dict | None = None) -> bytes:
    """Return the bytes of a request, so that several can be sent at once."""
    content = ENCODER.encode(body) if body else b""
    head = f"Host: box\r\nCookie: accessToken={make_token()}\r\nContent-Type: application/json"
    return f"{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


@on_one_engine
def test_a_response_is_sent_while_a_pipelined_request_waits(server, rows):
    rows.lock()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(bytes_of("HEAD", "/payments/methods") + bytes_of("POST", "/payments", payment()))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        # Before the payment's timeout.
        rows.unlock()
        assert connection.recv(12) == b"HTTP/1.1 201"


@on_one_engine
def test_sigterm_finishes_a_request_that_another_one_follows(server, rows):
    rows.lock()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        payments = [bytes_of("POST", "/payments", payment(transaction_id=f"txn-{number}")) for number in (1, 2)]
        connection.sendall(b"".join(payments))
        # Once a later request has a response, the first is running.
        assert server.request("GET", "/openapi.json")[0] == 200
        server.process.terminate()
        wait_until_stopping(server)
        rows.unlock()
        assert connection.recv(12) == b"HTTP/1.1 201"
    assert server.wait() == 0
    assert rows.all("SELECT transaction_id FROM payment") == [("txn-1",)]


def wait_until_stopping(server) -> None:
    """Wait until a server has received the signal that stops it."""
    wait_until(lambda: any("Stopping" in line for line in server.log))


@on_one_engine
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


@on_one_engine
@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
@pytest.mark.parametrize("read_before", [0, 1_000_000, 5_000_000])
def test_sigterm_lets_a_long_response_be_read_to_its_end(start_server, insert_payments, host, read_before):
    server = start_server(HOST=host)
    insert_payments(*({"id": f"{number:032x}", "transaction_id": f"txn-{number}"} for number in range(50_000)))
    with contextlib.closing(server.send("GET", "/payments")) as reading:
        # A small buffer, so that the server still has most of the response when it gets the signal.
        reading.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        response = reading.getresponse()
        answer = response.read(read_before)
        server.process.terminate()
        if not read_before:
            wait_until_stopping(server)
        answer += response.read()
    assert len(json.loads(answer)) == 50_000
    assert server.wait() == 0


@on_one_engine
def test_as_many_threads_serve_as_the_settings_say(start_server):
    server = start_server(THREADS="3")
    # The main thread, three workers and the one for /health/live.
    assert len(list(Path(f"/proc/{server.process.pid}/task").iterdir())) == 1 + 3 + 1


def test_libraries_of_other_settings_are_not_loaded(server, engine):
    assert server.request("POST", "/payments", payment())[0] == 201
    files = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert ("psycopg" in files) == (engine == "postgresql")
    assert "cryptography" not in files


@on_one_engine
def test_a_public_key_in_a_file_verifies_tokens(start_server, tmp_path):
    key = make_key("ES256")
    (tmp_path / "key.pem").write_bytes(spki(key))
    server = start_server(JWT_SECRET="", JWT_PUBLIC_KEY_FILE=str(tmp_path / "key.pem"))
    token = make_token(secret=key, algorithm="ES256", exp=in_a_day())
    assert server.request("GET", "/payments", Cookie=f"accessToken={token}") == (204, None)
    assert server.request("GET", "/payments")[0] == 401


@on_one_engine
@pytest.mark.parametrize("prefix", ["", "base64:"])
def test_a_public_key_as_secret_stops_the_start(start_server, prefix):
    key = base64.b64encode(spki(make_key(), Encoding.DER)).decode()
    server = start_server(JWT_SECRET=prefix + key)
    assert server.wait() == 1
    assert "PAYMENTS_JWT_SECRET must hold only secrets" in server.log[-1]


@on_one_engine
def test_waiting_requests_do_not_block_a_free_thread(start_server, rows):
    server = start_server(THREADS="3")
    rows.lock()
    with contextlib.closing(server.send("POST", "/payments", payment(transaction_id="txn-1"))) as first:
        with contextlib.closing(server.send("POST", "/payments", payment(transaction_id="txn-2"))) as second:
            assert server.request("GET", "/payments/methods")[0] == 200
            rows.unlock()
            assert [waiting.getresponse().status for waiting in (first, second)] == [201, 201]


@on_one_engine
def test_more_requests_than_threads_are_all_answered(start_server):
    server = start_server(THREADS="2")
    with ThreadPoolExecutor(20) as tills:
        answers = [tills.submit(server.request, "GET", "/payments/methods") for _ in range(200)]
    assert {answer.result()[0] for answer in answers} == {200}


@on_one_engine
def test_by_default_only_localhost_is_listened_on(server):
    assert [line for line in server.log if f"Serving on http://127.0.0.1:{server.port}" in line]


@on_one_engine
def test_the_start_names_the_documentation_page(server):
    (line,) = [line for line in server.log if "Serving on" in line]
    (address,) = re.findall(r"docs=(http://127\.0\.0\.1:\d+/docs)$", line.rstrip())
    with urllib.request.urlopen(address, timeout=30) as page:
        assert page.read().startswith(b"<!doctype html>")


@on_one_engine
@has_ipv6
@pytest.mark.parametrize("host", ["::1", "::"])
def test_an_ipv6_address_is_written_with_brackets(start_server, host):
    server = start_server(HOST=host)
    address = f"http://[{host}]:{server.port}"
    (line,) = [line for line in server.log if "Serving on" in line]
    assert f'"Serving on {address}"' in line
    assert line.rstrip().endswith(f" docs={address}/docs")
    with urllib.request.urlopen(f"http://[::1]:{server.port}/docs", timeout=30) as page:
        assert page.status == 200


@on_one_engine
def test_an_address_in_use_stops_the_start_with_one_line(server, start_server):
    second = start_server(PORT=str(server.port))
    assert second.wait() == 1
    assert second.log[-1].startswith("payments: cannot listen on PAYMENTS_HOST '127.0.0.1' and PAYMENTS_PORT")


@on_one_engine
def test_an_invalid_host_stops_the_start_with_one_line(start_server):
    server = start_server(HOST="300.1.1.1")
    assert server.wait() == 1
    assert server.log[-1].startswith("payments: cannot listen on PAYMENTS_HOST '300.1.1.1' and PAYMENTS_PORT")


def test_a_database_of_a_newer_release_stops_the_start(app, start_server, rows):
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
